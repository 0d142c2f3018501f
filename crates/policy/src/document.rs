//! Policy documents: read strictly, printed so that they read the same.
//! Sources: AWS, "Grammar of the IAM JSON policy language"; "IAM JSON policy elements reference"; "Bucket policies for
//! Amazon S3".

use std::{collections::BTreeSet, fmt};

use serde_json::{Value, json};

use crate::{
    action::{Action, ActionSet, Level},
    condition::{Condition, Refusal, WrittenOperator},
    condition_key::Key,
    error::{Error, Fault, quoted},
    json::Json,
    principal::{NamedPrincipal, Principals},
    resource::NamedResource,
    spelling::suggestion,
};

/// Longest document. Source: AWS, "Bucket policies for Amazon S3".
pub const MAX_BYTES: usize = 20 << 10;

/// Longest `Id` and `Sid`.
const LONGEST_ID: usize = 256;

const DOCUMENT_ELEMENTS: &[&str] = &["Version", "Id", "Statement"];
const STATEMENT_ELEMENTS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// Where a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// Of a principal.
    Identity,
    /// Of a bucket.
    Bucket,
    /// What a canned ACL stands for.
    Acl,
}

/// A policy that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub(crate) kind: PolicyKind,
    /// The bucket it belongs to; none of an identity policy.
    pub(crate) bucket: Option<String>,
    is_2012: bool,
    id: Option<String>,
    pub(crate) statements: Vec<Statement>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    /// None in an identity policy.
    pub(crate) principals: Option<Principals>,
    /// What `Action` or `NotAction` comes to.
    pub(crate) actions: ActionSet,
    action_names: Vec<String>,
    is_not_action: bool,
    pub(crate) resources: Vec<NamedResource>,
    pub(crate) is_not_resource: bool,
    pub(crate) conditions: Vec<Condition>,
    /// It allows all but what a variable names: nothing, if the variable has no value.
    pub(crate) needs_variable: bool,
}

impl Policy {
    /// Reads the policy of a principal.
    ///
    /// # Errors
    /// It is not understood in full; see [`Error`].
    pub fn identity(document: &[u8]) -> Result<Self, Error> {
        Self::parse(document, PolicyKind::Identity, None)
    }

    /// Reads the policy of a bucket.
    ///
    /// # Errors
    /// It is not understood in full, or not about this bucket only; see [`Error`].
    pub fn of_bucket(document: &[u8], bucket: &str) -> Result<Self, Error> {
        Self::parse(document, PolicyKind::Bucket, Some(bucket))
    }

    pub(crate) fn parse(document: &[u8], kind: PolicyKind, bucket: Option<&str>) -> Result<Self, Error> {
        if document.len() > MAX_BYTES {
            let detail = format!("it has {} bytes; at most {MAX_BYTES} are allowed", document.len());
            return Err(Error::new(Fault::TooLarge, "policy", detail));
        }
        let json = serde_json::from_slice(document)
            .map_err(|error| Error::new(Fault::Json, "policy", error.to_string()))?;
        let Json::Object(members) = json else {
            return Err(Error::new(Fault::Json, "policy", "it is no object"));
        };
        let mut reader = Elements::new(members, "policy", "", DOCUMENT_ELEMENTS)?;
        let is_2012 = match reader.take("Version") {
            None => false,
            Some((place, version)) => match text(version, &place)?.as_str() {
                "2012-10-17" => true,
                "2008-10-17" => false,
                other => {
                    let detail = format!("{} is no version; write \"2012-10-17\"", quoted(other));
                    return Err(Error::new(Fault::Version, place, detail));
                }
            },
        };
        let id = reader.take("Id").map(|(place, id)| label(id, &place)).transpose()?;
        let (place, statements) = reader.require("Statement")?;
        let statements = match statements {
            Json::List(list) if list.is_empty() => {
                return Err(Error::new(
                    Fault::Missing("Statement"),
                    place,
                    "the list is empty; write a statement",
                ));
            }
            Json::List(list) => {
                list.into_iter().enumerate().map(|(at, json)| (format!("Statement[{at}]"), json)).collect()
            }
            one => vec![(place, one)],
        };
        let mut policy =
            Self { kind, bucket: bucket.map(str::to_owned), is_2012, id, statements: Vec::new() };
        let mut sids = BTreeSet::new();
        for (place, json) in statements {
            let statement = Statement::parse(json, &place, &policy)?;
            if let Some(sid) = &statement.sid
                && !sids.insert(sid.clone())
            {
                let detail = format!("{} is the Sid of another statement, too; rename one", quoted(sid));
                return Err(Error::new(Fault::Syntax, format!("{place}.Sid"), detail));
            }
            policy.statements.push(statement);
        }
        Ok(policy)
    }

    /// The ACL of a bucket that allows nobody anything.
    pub(crate) fn empty_acl(bucket: &str) -> Self {
        let bucket = Some(bucket.to_owned());
        Self { kind: PolicyKind::Acl, bucket, is_2012: true, id: None, statements: Vec::new() }
    }

    /// Where it comes from.
    #[must_use]
    pub const fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// Whether the decision about an action can depend on the object's tags. If not,
    /// [`Context::existing_tags`](crate::Context::existing_tags) need not be read.
    #[must_use]
    pub fn reads_tags(&self, action: Action) -> bool {
        let statements = self.statements.iter().filter(|statement| statement.actions.contains(action));
        statements.flat_map(|statement| &statement.conditions).any(Condition::reads_tags)
    }

    /// The ARNs of accounts and users that it names, each once: S3 refuses a policy that names one that does not exist.
    #[must_use]
    pub fn principals(&self) -> BTreeSet<String> {
        let principals = self.statements.iter().filter_map(|statement| statement.principals.as_ref());
        let named = principals.filter_map(|principals| match principals {
            Principals::Everybody | Principals::Authenticated => None,
            Principals::Named(named) | Principals::AllBut(named) => Some(named),
        });
        named.flatten().map(NamedPrincipal::arn).collect()
    }
}

impl Statement {
    fn parse(json: Json, place: &str, policy: &Policy) -> Result<Self, Error> {
        let Json::Object(members) = json else {
            let detail = format!("it is {}; write a statement as an object", json.kind());
            return Err(Error::new(Fault::Syntax, place, detail));
        };
        let mut elements = Elements::new(members, place, &format!("{place}."), STATEMENT_ELEMENTS)?;
        let sid = elements.take("Sid").map(|(place, sid)| label(sid, &place)).transpose()?;
        let (at, effect) = elements.require("Effect")?;
        let effect = match text(effect, &at)?.as_str() {
            "Allow" => Effect::Allow,
            "Deny" => Effect::Deny,
            other => {
                let detail = format!("{} is no effect; write \"Allow\" or \"Deny\"", quoted(other));
                return Err(Error::new(Fault::Effect, at, detail));
            }
        };
        let principals = principals(&mut elements, effect, policy.kind)?;

        let (at, is_not_action, names) = elements.require_one("Action", "NotAction")?;
        let action_names = texts(names, &at)?;
        let scope = if policy.kind == PolicyKind::Identity { ActionSet::ALL } else { ActionSet::S3 };
        let mut named = Vec::new();
        for (index, name) in action_names.iter().enumerate() {
            let set = ActionSet::named(name).intersection(scope);
            if set.is_empty() {
                let known =
                    Action::ALL.iter().filter(|action| scope.contains(**action)).map(|action| action.name());
                let detail = format!(
                    "{} is no action of a policy of this kind{}",
                    quoted(name),
                    suggestion(name, known)
                );
                return Err(Error::new(Fault::Action, item(&at, index, action_names.len()), detail));
            }
            named.push(set);
        }
        let action_place = at;

        let (at, is_not_resource, names) = elements.require_one("Resource", "NotResource")?;
        let resource_names = texts(names, &at)?;
        let mut resources = Vec::new();
        for (index, name) in resource_names.iter().enumerate() {
            let refused =
                |detail| Error::new(Fault::Resource, item(&at, index, resource_names.len()), detail);
            let resource = NamedResource::parse(name, policy.is_2012).map_err(refused)?;
            if let Some(bucket) = &policy.bucket
                && !resource.is_in(bucket)
            {
                let detail = format!(
                    "{} is not in the bucket {bucket}; write \"arn:aws:s3:::{bucket}\" or \"arn:aws:s3:::{bucket}/*\"",
                    quoted(name)
                );
                return Err(refused(detail));
            }
            resources.push(resource);
        }

        // What NotResource leaves out is some of each level at most.
        let reachable = match is_not_resource {
            true => scope,
            false => {
                resources.iter().fold(ActionSet::default(), |set, resource| set.union(resource.actions()))
            }
        };
        for (index, (set, name)) in named.iter().zip(&action_names).enumerate() {
            if !is_not_action && set.intersection(reachable).is_empty() {
                let level =
                    Action::ALL.iter().find(|action| set.contains(**action)).map(|action| action.level());
                let advice = match level {
                    Some(Level::Object) => {
                        "it is taken on objects; add a resource like `arn:aws:s3:::BUCKET/*`"
                    }
                    Some(Level::Bucket) => {
                        "it is taken on buckets; add a resource like `arn:aws:s3:::BUCKET`"
                    }
                    _ => "it is taken on no bucket or object; only an identity policy's resource `*` has it",
                };
                let place = item(&action_place, index, action_names.len());
                return Err(Error::new(
                    Fault::ActionWithoutResource,
                    place,
                    format!("{}: {advice}", quoted(name)),
                ));
            }
        }
        let named = named.into_iter().fold(ActionSet::default(), ActionSet::union);
        let actions = if is_not_action { scope.without(named) } else { named };

        let conditions = match elements.take("Condition") {
            None => Vec::new(),
            Some((place, json)) => conditions(json, &place, actions.intersection(reachable), policy.is_2012)?,
        };
        let excepts_variable = is_not_resource && resources.iter().any(NamedResource::has_variable)
            || conditions.iter().any(Condition::excepts_variable);
        let needs_variable = effect == Effect::Allow && excepts_variable;
        Ok(Self {
            needs_variable,
            sid,
            effect,
            principals,
            actions,
            action_names,
            is_not_action,
            resources,
            is_not_resource,
            conditions,
        })
    }
}

fn principals(
    elements: &mut Elements,
    effect: Effect,
    kind: PolicyKind,
) -> Result<Option<Principals>, Error> {
    if kind == PolicyKind::Identity {
        return match elements.take("Principal").or_else(|| elements.take("NotPrincipal")) {
            None => Ok(None),
            Some((place, _)) => {
                let detail = "an identity policy is about its own principal; remove the element";
                Err(Error::new(Fault::Syntax, place, detail))
            }
        };
    }
    let (mut place, is_not, json) = elements.require_one("Principal", "NotPrincipal")?;
    if is_not && effect == Effect::Allow {
        let detail = "it would allow everybody else; name in `Principal` whom to allow";
        return Err(Error::new(Fault::AllowNotPrincipal, place, detail));
    }
    let advice = "write \"*\" or {\"AWS\": […]}";
    let names = match json {
        Json::Text(text) if text == "*" => vec![text],
        Json::Object(members) => {
            let mut elements =
                Elements::new(members, &place, &format!("{place}."), &["AWS"]).map_err(|error| {
                    let detail = format!("{}; {advice}", error.detail);
                    Error { fault: Fault::Principal, detail, ..error }
                })?;
            let Some((at, names)) = elements.take("AWS") else {
                return Err(Error::new(Fault::Principal, place, format!("it is empty; {advice}")));
            };
            place = at;
            texts(names, &place)?
        }
        Json::Text(text) => {
            return Err(Error::new(
                Fault::Principal,
                place,
                format!("{} is no principal; {advice}", quoted(&text)),
            ));
        }
        other => {
            return Err(Error::new(Fault::Principal, place, format!("it is {}; {advice}", other.kind())));
        }
    };
    if names.iter().any(|name| name == "*") {
        if is_not {
            let detail = "all but everybody is nobody; name whom to except";
            return Err(Error::new(Fault::Principal, place, detail));
        }
        if names.len() == 1 {
            return Ok(Some(Principals::Everybody));
        }
        let detail = "\"*\" is everybody; remove it or the others";
        return Err(Error::new(Fault::Principal, place, detail));
    }
    let named = names.iter().enumerate().map(|(index, name)| {
        NamedPrincipal::parse(name)
            .map_err(|detail| Error::new(Fault::Principal, item(&place, index, names.len()), detail))
    });
    let named = named.collect::<Result<_, _>>()?;
    Ok(Some(if is_not { Principals::AllBut(named) } else { Principals::Named(named) }))
}

fn conditions(json: Json, place: &str, actions: ActionSet, variables: bool) -> Result<Vec<Condition>, Error> {
    let Json::Object(operators) = json else {
        let detail = format!("it is {}; write {{OPERATOR: {{KEY: VALUE}}}}", json.kind());
        return Err(Error::new(Fault::Syntax, place, detail));
    };
    let mut conditions: Vec<Condition> = Vec::new();
    let (mut written, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for (name, json) in operators {
        let operator =
            WrittenOperator::parse(&name).map_err(|detail| Error::new(Fault::Operator, place, detail))?;
        let place = format!("{place}.{name}");
        if !written.insert(operator) {
            return Err(Error::new(Fault::Syntax, place, "it is there twice; write its keys as one object"));
        }
        let keys = match json {
            Json::Object(keys) if !keys.is_empty() => keys,
            other => {
                let detail = format!(
                    "it is {}; write {{KEY: VALUE}}",
                    if matches!(other, Json::Object(_)) { "empty" } else { other.kind() }
                );
                return Err(Error::new(Fault::Syntax, place, detail));
            }
        };
        for (name, json) in keys {
            let key = Key::parse(&name).map_err(|detail| Error::new(Fault::ConditionKey, &place, detail))?;
            let place = format!("{place}.{}", key.text());
            if !seen.insert((operator, key.clone())) {
                let detail = "it is there twice; write its values as one list";
                return Err(Error::new(Fault::Syntax, place, detail));
            }
            if key.actions().intersection(actions).is_empty() {
                let detail = "no action of the statement has this key; remove the condition, or put it into a statement of its own";
                return Err(Error::new(Fault::ConditionWithoutAction, place, detail));
            }
            let values = values(json, &place)?;
            let count = values.len();
            conditions.push(Condition::new(operator, key, values, variables).map_err(
                |refusal| match refusal {
                    Refusal::Operator(detail) => Error::new(Fault::Operator, &place, detail),
                    Refusal::Value(at, detail) => {
                        Error::new(Fault::ConditionValue, item(&place, at, count), detail)
                    }
                },
            )?);
        }
    }
    conditions.sort_by(|a, b| (a.operator, &a.key).cmp(&(b.operator, &b.key)));
    Ok(conditions)
}

/// The members of an object, each taken once.
struct Elements {
    members: Vec<(String, Json)>,
    place: String,
    prefix: String,
}

impl Elements {
    fn new(
        members: Vec<(String, Json)>,
        place: &str,
        prefix: &str,
        known: &[&'static str],
    ) -> Result<Self, Error> {
        for (at, (name, _)) in members.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let detail =
                    format!("{} is no element here{}", quoted(name), suggestion(name, known.iter().copied()));
                return Err(Error::new(Fault::Syntax, place, detail));
            }
            // All names so far are known and different: few.
            if members[..at].iter().any(|(other, _)| other == name) {
                return Err(Error::new(
                    Fault::Syntax,
                    format!("{prefix}{name}"),
                    "it is there twice; remove one",
                ));
            }
        }
        Ok(Self { members, place: place.to_owned(), prefix: prefix.to_owned() })
    }

    /// The place and value of an element.
    fn take(&mut self, name: &'static str) -> Option<(String, Json)> {
        let at = self.members.iter().position(|(other, _)| other == name)?;
        Some((format!("{}{name}", self.prefix), self.members.swap_remove(at).1))
    }

    fn require(&mut self, name: &'static str) -> Result<(String, Json), Error> {
        let missing = Error::new(Fault::Missing(name), &self.place, format!("there is no `{name}`; add it"));
        self.take(name).ok_or(missing)
    }

    /// An element or its opposite; whether it is the latter.
    fn require_one(&mut self, name: &'static str, not: &'static str) -> Result<(String, bool, Json), Error> {
        match (self.take(name), self.take(not)) {
            (Some((place, json)), None) => Ok((place, false, json)),
            (None, Some((place, json))) => Ok((place, true, json)),
            (None, None) => {
                let detail = format!("there is neither `{name}` nor `{not}`; add one");
                Err(Error::new(Fault::Missing(name), &self.place, detail))
            }
            (Some(_), Some((place, _))) => {
                let detail = format!("there is `{name}`, too; keep one of them");
                Err(Error::new(Fault::Syntax, place, detail))
            }
        }
    }
}

/// The place of one of several values.
fn item(place: &str, index: usize, count: usize) -> String {
    if count == 1 { place.to_owned() } else { format!("{place}[{index}]") }
}

fn text(json: Json, place: &str) -> Result<String, Error> {
    match json {
        Json::Text(text) => Ok(text),
        other => Err(Error::new(Fault::Syntax, place, format!("it is {}; write text", other.kind()))),
    }
}

/// An `Id` or `Sid`. It comes into logs.
fn label(json: Json, place: &str) -> Result<String, Error> {
    let text = text(json, place)?;
    if text.len() > LONGEST_ID || !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        let detail = format!("write at most {LONGEST_ID} printable ASCII characters");
        return Err(Error::new(Fault::Syntax, place, detail));
    }
    Ok(text)
}

/// A text or several.
fn texts(json: Json, place: &str) -> Result<Vec<String>, Error> {
    list(json, place)?.into_iter().map(|json| text(json, place)).collect()
}

/// Values of a condition: numbers and booleans can be written without quotes.
fn values(json: Json, place: &str) -> Result<Vec<String>, Error> {
    let value = |json| match json {
        Json::Bool(flag) => Ok(flag.to_string()),
        Json::Number(number) => Ok(number.to_string()),
        other => text(other, place),
    };
    list(json, place)?.into_iter().map(value).collect()
}

fn list(json: Json, place: &str) -> Result<Vec<Json>, Error> {
    match json {
        Json::List(list) if list.is_empty() => {
            Err(Error::new(Fault::Syntax, place, "the list is empty; write a value"))
        }
        Json::List(list) => Ok(list),
        one => Ok(vec![one]),
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity policy",
            Self::Bucket => "bucket policy",
            Self::Acl => "ACL",
        })
    }
}

/// As JSON.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statements: Vec<Value> = self.statements.iter().map(Statement::to_json).collect();
        let version = if self.is_2012 { "2012-10-17" } else { "2008-10-17" };
        let mut document = json!({"Version": version, "Statement": statements});
        if let Some(id) = &self.id {
            document["Id"] = json!(id);
        }
        document.fmt(f)
    }
}

impl Statement {
    fn to_json(&self) -> Value {
        let resources: Vec<String> = self.resources.iter().map(NamedResource::text).collect();
        let mut json = json!({
            "Effect": if self.effect == Effect::Allow { "Allow" } else { "Deny" },
            (if self.is_not_action { "NotAction" } else { "Action" }): self.action_names,
            (if self.is_not_resource { "NotResource" } else { "Resource" }): resources,
        });
        if let Some(sid) = &self.sid {
            json["Sid"] = json!(sid);
        }
        let arns = |named: &[NamedPrincipal]| named.iter().map(NamedPrincipal::arn).collect::<Vec<_>>();
        match &self.principals {
            None => {}
            Some(Principals::Everybody) => json["Principal"] = json!("*"),
            Some(Principals::Authenticated) => json["Principal"] = json!({"Group": "AuthenticatedUsers"}),
            Some(Principals::Named(named)) => json["Principal"] = json!({"AWS": arns(named)}),
            Some(Principals::AllBut(named)) => json["NotPrincipal"] = json!({"AWS": arns(named)}),
        }
        for condition in &self.conditions {
            json["Condition"][condition.operator.text()][condition.key.text()] = json!(condition.values);
        }
        json
    }
}
