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

use super::{Endpoint, blocking, faults::s3};
use crate::storage::NotificationRecord;

pub(super) async fn get(
    endpoint: &Endpoint,
    request: S3Request<GetBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
    let store = endpoint.store.clone();
    let arn = store.notifications.function_arn().to_owned();
    let records = blocking(move || store.notifications.of(&request.input.bucket).map_err(s3)).await?;
    let configurations: Vec<_> = records.into_iter().map(|record| configuration(record, &arn)).collect();
    Ok(S3Response::new(GetBucketNotificationConfigurationOutput {
        lambda_function_configurations: (!configurations.is_empty()).then_some(configurations),
        ..GetBucketNotificationConfigurationOutput::default()
    }))
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
    let store = endpoint.store.clone();
    blocking(move || store.notifications.set(&bucket, records).map_err(s3)).await?;
    Ok(S3Response::new(PutBucketNotificationConfigurationOutput::default()))
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
    for event in &events {
        // A trigger cannot distinguish narrower types, so they would fire for more than they name.
        if event != "s3:ObjectCreated:*" && event != "s3:ObjectRemoved:*" {
            return Err(s3_error!(
                InvalidArgument,
                "the event \"{event}\" is not offered here; use s3:ObjectCreated:* or s3:ObjectRemoved:*"
            ));
        }
    }
    Ok(NotificationRecord {
        id: lambda.id.unwrap_or_else(|| format!("notification-{}", index + 1)),
        prefix: prefix.unwrap_or_default(),
        suffix: suffix.unwrap_or_default(),
        created: events.iter().any(|event| event == "s3:ObjectCreated:*"),
        removed: events.iter().any(|event| event == "s3:ObjectRemoved:*"),
        events,
    })
}
