//! Why a policy is refused, in AWS's words and ours.

/// Why a policy is refused: AWS's message, the place, what is wrong there and what to do. S3's code is
/// `MalformedPolicy`, with status 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}: {place}: {detail}")]
pub struct Error {
    /// What kind of fault it is.
    pub fault: Fault,
    /// Where: `Statement[1].Condition`.
    pub place: String,
    /// What is wrong, and what to do.
    pub detail: String,
}

/// The kinds of fault. The text of each is what S3 answers; IAM where S3 has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no JSON object.
    #[error("Policies must be valid JSON and the first byte must be '{{'")]
    Json,
    /// It is longer than [`MAX_BYTES`](crate::MAX_BYTES).
    #[error("Policy exceeds the maximum allowed document size")]
    TooLarge,
    /// An element is missing.
    #[error("Missing required field {0}")]
    Missing(&'static str),
    /// An element is not known, is there twice, or beside one that excludes it.
    #[error("Invalid policy syntax")]
    Syntax,
    /// The version is not known.
    #[error("The policy must contain a valid version string")]
    Version,
    /// The effect is neither `Allow` nor `Deny`.
    #[error("Invalid effect")]
    Effect,
    /// A principal is not understood.
    #[error("Invalid principal in policy")]
    Principal,
    /// `NotPrincipal` with `Allow`.
    #[error("Allow with NotPrincipal is not allowed")]
    AllowNotPrincipal,
    /// An action does not exist.
    #[error("Policy has invalid action")]
    Action,
    /// A resource is not understood, or not in the bucket.
    #[error("Policy has invalid resource")]
    Resource,
    /// An action is taken on nothing that the statement names.
    #[error("Action does not apply to any resource(s) in statement")]
    ActionWithoutResource,
    /// An operator is not known.
    #[error("Invalid Condition type")]
    Operator,
    /// A condition key is not known.
    #[error("Policy has an invalid condition key")]
    ConditionKey,
    /// A condition's value is none of its operator.
    #[error("Policy has an invalid condition value")]
    ConditionValue,
    /// A condition key that no action of the statement has.
    #[error("Conditions do not apply to combination of actions and resources in statement")]
    ConditionWithoutAction,
}

impl Error {
    pub(crate) fn new(fault: Fault, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { fault, place: place.into(), detail: detail.into() }
    }
}

/// What somebody wrote, in quotes, escaped and short.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
