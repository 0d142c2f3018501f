//! Get- and PutBucketNotificationConfiguration: triggers in S3's terms.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        FilterRule, FilterRuleName, GetBucketNotificationConfigurationInput,
        GetBucketNotificationConfigurationOutput, LambdaFunctionConfiguration,
        NotificationConfigurationFilter, PutBucketNotificationConfigurationInput,
        PutBucketNotificationConfigurationOutput, S3KeyFilter,
    },
    s3_error,
};

use tintype_pipeline::event::CreatedTypes;

use super::{Endpoint, answers, blocking, faults::s3, operations::sender};
use crate::{
    auth::{Action, Principal, Resource},
    storage::NotificationRecord,
};

/// Event types of removed objects.
const REMOVED: [&str; 2] = ["s3:ObjectRemoved:*", "s3:ObjectRemoved:Delete"];

/// S3's event types that never occur here, or need nothing done: a configuration may name them, and they are ignored.
/// Source: AWS, "Event notification types and destinations".
const IGNORED: [&str; 21] = [
    "s3:IntelligentTiering",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:LifecycleTransition",
    "s3:ObjectAcl:Put",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:ObjectRestore:Post",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Delete",
    "s3:ObjectTagging:Put",
    "s3:ReducedRedundancyLostObject",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationNotTracked",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:TestEvent",
];

/// How many event types of a configuration are ignored: a header of answers, as its document has no place for it.
const IGNORED_HEADER: http::HeaderName = http::HeaderName::from_static("x-tintype-ignored-event-types");

fn is_creation(event: &str) -> bool {
    CreatedTypes::of(event) != CreatedTypes::NONE
}

/// Adds how many event types are ignored, if any are; returns the number.
fn add_ignored(headers: &mut http::HeaderMap, records: &[NotificationRecord]) -> usize {
    let events = records.iter().flat_map(|record| &record.events);
    let count = events.filter(|event| IGNORED.contains(&event.as_str())).count();
    let text = (count > 0).then(|| count.to_string());
    answers::add_header(headers, IGNORED_HEADER, text.as_deref());
    count
}

pub(super) async fn get(
    endpoint: &Endpoint,
    request: S3Request<GetBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
    let store = endpoint.store.clone();
    let arn = store.notifications.function_arn().to_owned();
    let records = blocking(move || store.notifications.of(&request.input.bucket).map_err(s3)).await?;
    let mut headers = http::HeaderMap::new();
    add_ignored(&mut headers, &records);
    let configurations: Vec<_> = records.into_iter().map(|record| configuration(record, &arn)).collect();
    let mut response = S3Response::new(GetBucketNotificationConfigurationOutput {
        lambda_function_configurations: (!configurations.is_empty()).then_some(configurations),
        ..GetBucketNotificationConfigurationOutput::default()
    });
    response.headers = headers;
    Ok(response)
}

fn configuration(record: NotificationRecord, arn: &str) -> LambdaFunctionConfiguration {
    let rule = |name: &'static str, value: String| FilterRule {
        name: Some(FilterRuleName::from_static(name)),
        value: Some(value),
    };
    let mut rules = Vec::new();
    if !record.prefix.is_empty() {
        rules.push(rule(FilterRuleName::PREFIX, record.prefix));
    }
    if !record.suffix.is_empty() {
        rules.push(rule(FilterRuleName::SUFFIX, record.suffix));
    }
    let filter =
        NotificationConfigurationFilter { key: Some(S3KeyFilter { filter_rules: Some(rules.clone()) }) };
    LambdaFunctionConfiguration {
        id: Some(record.id),
        lambda_function_arn: arn.to_owned(),
        events: record.events.into_iter().map(Into::into).collect(),
        filter: (!rules.is_empty()).then_some(filter),
    }
}

pub(super) async fn put(
    endpoint: &Endpoint,
    request: S3Request<PutBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<PutBucketNotificationConfigurationOutput>> {
    let bucket = request.input.bucket;
    let configuration = request.input.notification_configuration;
    if configuration.queue_configurations.is_some_and(|list| !list.is_empty())
        || configuration.topic_configurations.is_some_and(|list| !list.is_empty())
        || configuration.event_bridge_configuration.is_some()
    {
        return Err(s3_error!(
            NotImplemented,
            "only LambdaFunctionConfiguration is offered: events go to the function {}",
            endpoint.store.notifications.function_arn()
        ));
    }
    let lambdas = configuration.lambda_function_configurations.unwrap_or_default();
    let records = lambdas
        .into_iter()
        .enumerate()
        .map(|(index, lambda)| record(index, lambda, endpoint.store.notifications.function_arn()))
        .collect::<S3Result<Vec<_>>>()?;
    authorize_destination(endpoint, &request.extensions, &records)?;
    let mut response = S3Response::new(PutBucketNotificationConfigurationOutput::default());
    let ignored = add_ignored(&mut response.headers, &records);
    if ignored > 0 {
        tracing::warn!(
            bucket,
            ignored,
            "a notification names event types that never occur here; they are ignored"
        );
    }
    let store = endpoint.store.clone();
    blocking(move || store.notifications.set(&bucket, records).map_err(s3)).await?;
    Ok(response)
}

/// The function acts for whoever sets a notification, so that it takes the right to what is written and deleted then.
fn authorize_destination(
    endpoint: &Endpoint,
    of_request: &http::Extensions,
    records: &[NotificationRecord],
) -> S3Result<()> {
    let (principal, context) = sender(of_request)?;
    let Some(bucket) = endpoint.store.notifications.destination() else { return Ok(()) };
    // A bucket's policy may allow those without a key to set one.
    let is_root = *principal != Principal::Anonymous && !endpoint.authorizer.is_limited(principal);
    if records.is_empty() || is_root {
        return Ok(());
    }
    // A thumbnail can have any key: the right to some is not enough.
    let all = Resource::Object { bucket, key: "*" };
    let removes = records.iter().any(|record| record.removed);
    [Action::PutObject].into_iter().chain(removes.then_some(Action::DeleteObject)).try_for_each(|action| {
        // Which bucket that is may be unknown to whoever asks; the audit log names it.
        endpoint.authorizer.authorize(principal, action, &all, context).map_err(|_| {
            s3_error!(
                AccessDenied,
                "The function writes into the destination of the first trigger, so a notification needs s3:PutObject, and \
                 for removed objects s3:DeleteObject, on all of that bucket"
            )
        })
    })
}

fn record(index: usize, lambda: LambdaFunctionConfiguration, arn: &str) -> S3Result<NotificationRecord> {
    if lambda.lambda_function_arn != arn {
        return Err(s3_error!(
            InvalidArgument,
            "Unable to validate the following destination configurations: there is no function {}; this server has {arn}",
            lambda.lambda_function_arn
        ));
    }
    let (mut prefix, mut suffix) = (None, None);
    let rules =
        lambda.filter.and_then(|filter| filter.key).and_then(|key| key.filter_rules).unwrap_or_default();
    for rule in rules {
        let name = rule.name.as_ref().map(|name| name.as_str().to_ascii_lowercase());
        let value = rule.value.unwrap_or_default();
        let (slot, kind) = match name.as_deref() {
            Some("prefix") => (&mut prefix, "prefix"),
            Some("suffix") => (&mut suffix, "suffix"),
            _ => return Err(s3_error!(InvalidArgument, "filter rule name must be either prefix or suffix")),
        };
        if slot.replace(value).is_some() {
            return Err(s3_error!(InvalidArgument, "Cannot specify more than one {kind} rule in a filter."));
        }
    }
    let events: Vec<String> = lambda.events.into_iter().map(|event| String::from(event.as_ref())).collect();
    if events.is_empty() {
        return Err(s3_error!(MalformedXML, "a LambdaFunctionConfiguration needs at least one Event"));
    }
    let is_known = |event: &&String| {
        is_creation(event) || REMOVED.contains(&event.as_str()) || IGNORED.contains(&event.as_str())
    };
    if let Some(event) = events.iter().find(|event| !is_known(event)) {
        return Err(s3_error!(InvalidArgument, "The event '{event}' is not supported for notifications"));
    }
    Ok(NotificationRecord {
        id: lambda.id.unwrap_or_else(|| format!("notification-{}", index + 1)),
        prefix: prefix.unwrap_or_default(),
        suffix: suffix.unwrap_or_default(),
        created: events.iter().any(|event| is_creation(event)),
        removed: events.iter().any(|event| REMOVED.contains(&event.as_str())),
        events,
    })
}
