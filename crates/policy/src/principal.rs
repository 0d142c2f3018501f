//! Who sends a request, and whom a statement names.
//! Source: AWS, "AWS JSON policy elements: Principal", and "… NotPrincipal".

/// Longest account id and user name.
const LONGEST_NAME: usize = 64;

/// Who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal<'a> {
    /// Nobody known: the request is not signed.
    Anonymous,
    /// An account's root: its ARN ends with `:root`.
    Root {
        /// The account's id.
        account: &'a str,
    },
    /// A user of an account; here, an access key.
    User {
        /// The account's id.
        account: &'a str,
        /// Its name; `${aws:username}`.
        name: &'a str,
    },
}

impl<'a> Principal<'a> {
    /// Its account; none of an anonymous one.
    #[must_use]
    pub const fn account(&self) -> Option<&'a str> {
        match *self {
            Self::Anonymous => None,
            Self::Root { account } | Self::User { account, .. } => Some(account),
        }
    }

    /// The value of `aws:username`: of users only, and only if it is a name as IAM has them. Another could leave the
    /// folder that `${aws:username}` names.
    pub(crate) fn username(&self) -> Option<&'a str> {
        match *self {
            Self::User { name, .. } if is_user_name(name) => Some(name),
            _ => None,
        }
    }

    /// The value of `aws:PrincipalArn`: of accounts and users that a policy can name.
    pub(crate) fn arn(&self) -> Option<String> {
        match *self {
            Self::Root { account } if is_account(account) => Some(format!("arn:aws:iam::{account}:root")),
            Self::User { account, name } if is_account(account) && is_user_name(name) => {
                Some(format!("arn:aws:iam::{account}:user/{name}"))
            }
            _ => None,
        }
    }
}

/// A principal that a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamedPrincipal {
    /// An account, by its id or its root's ARN: the root, and whomever the account gives the right by an identity
    /// policy.
    Account(String),
    User {
        account: String,
        name: String,
    },
}

/// The element `Principal` or `NotPrincipal` of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principals {
    /// `"*"` or `{"AWS": "*"}`: everybody, anonymous ones, too.
    Everybody,
    /// Whoever has a key: a group that only ACLs name.
    Authenticated,
    /// Those named.
    Named(Vec<NamedPrincipal>),
    /// All but those named.
    AllBut(Vec<NamedPrincipal>),
}

impl NamedPrincipal {
    /// # Errors
    /// What to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let advice =
            "write an account's id, `arn:aws:iam::ACCOUNT:root`, `arn:aws:iam::ACCOUNT:user/NAME` or `*`";
        let refused = || format!("{} is no principal; {advice}", crate::error::quoted(text));
        let Some(arn) = text.strip_prefix("arn:aws:iam::") else {
            return if is_account(text) { Ok(Self::Account(text.to_owned())) } else { Err(refused()) };
        };
        let (account, name) = arn.split_once(':').ok_or_else(refused)?;
        if !is_account(account) {
            return Err(refused());
        }
        match name.strip_prefix("user/") {
            Some(name) if is_user_name(name) => {
                Ok(Self::User { account: account.to_owned(), name: name.to_owned() })
            }
            None if name == "root" => Ok(Self::Account(account.to_owned())),
            _ => Err(refused()),
        }
    }

    pub(crate) fn arn(&self) -> String {
        match self {
            Self::Account(account) => format!("arn:aws:iam::{account}:root"),
            Self::User { account, name } => format!("arn:aws:iam::{account}:user/{name}"),
        }
    }

    /// Whether it is this one, or an account that this one belongs to.
    fn includes(&self, principal: &Principal<'_>) -> bool {
        match self {
            Self::Account(account) => principal.account() == Some(account),
            Self::User { .. } => self.is(principal),
        }
    }

    /// Whether it is this one itself.
    fn is(&self, principal: &Principal<'_>) -> bool {
        match (self, principal) {
            (Self::Account(named), Principal::Root { account }) => named == account,
            (Self::User { account: a, name: n }, Principal::User { account, name }) => {
                a == account && n == name
            }
            _ => false,
        }
    }
}

impl Principals {
    /// Whether a statement that denies is about this principal.
    pub(crate) fn deny(&self, principal: &Principal<'_>) -> bool {
        match self {
            Self::Everybody => true,
            Self::Authenticated => *principal != Principal::Anonymous,
            Self::Named(named) => named.iter().any(|named| named.includes(principal)),
            Self::AllBut(named) => !named.iter().any(|named| named.includes(principal)),
        }
    }

    /// Whether a statement that allows is about this principal. An account's users need an identity policy: naming the
    /// account only lets it give them the right.
    pub(crate) fn allow(&self, principal: &Principal<'_>) -> bool {
        match self {
            Self::Everybody => true,
            Self::Authenticated => *principal != Principal::Anonymous,
            Self::Named(named) => named.iter().any(|named| named.is(principal)),
            Self::AllBut(_) => false,
        }
    }
}

/// Account ids are 12 digits on AWS, and words on other stores.
fn is_account(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Source: AWS, "IAM and AWS STS quotas", names.
pub(crate) fn is_user_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@-_".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        for text in
            ["123456789012", "s3tenant1", "arn:aws:iam::123456789012:root", "arn:aws:iam::1:user/a.b@c"]
        {
            assert!(NamedPrincipal::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "*",
            "arn:aws:iam::1:user/*",
            "arn:aws:iam::*:root",
            "arn:aws:iam::1:role/a",
            "arn:aws:iam::1:user/",
            "arn:aws:iam::1:user/a/b",
            "arn:aws:iam:::root",
            "arn:aws:s3:::in",
            "arn:aws:iam::1:root ",
            "a b",
            "1:2",
            "arn:aws:iam::1:user/${aws:username}",
        ] {
            assert!(NamedPrincipal::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_account_delegates_and_denies_all_of_its_users() {
        let account = Principals::Named(vec![NamedPrincipal::Account("1".into())]);
        let alice = Principal::User { account: "1", name: "alice" };
        assert!(!account.allow(&alice) && account.deny(&alice));
        assert!(account.allow(&Principal::Root { account: "1" }));
        for other in [
            Principal::Anonymous,
            Principal::Root { account: "2" },
            Principal::User { account: "2", name: "alice" },
        ] {
            assert!(!account.allow(&other) && !account.deny(&other));
        }
    }

    #[test]
    fn a_name_that_iam_would_not_have_is_no_username() {
        for (name, expected) in [("alice", true), ("a/b", false), ("*", false), ("", false), ("..", true)] {
            assert_eq!(Principal::User { account: "1", name }.username().is_some(), expected, "{name}");
        }
    }
}
