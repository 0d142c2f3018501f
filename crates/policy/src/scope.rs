//! Where in a bucket a policy allows something: how keys begin that its statements are about.

use std::collections::BTreeSet;

use crate::{
    document::{Effect, Policy, Statement},
    pattern::{Pattern, Syntax, Variables},
    resource::NamedResource,
};

impl Policy {
    /// How keys of a bucket begin that statements which allow something name, by their resources and by conditions on
    /// `s3:prefix`, and those that are left where a statement denies all but what it names; of a name with wildcards, the
    /// shortest key that it matches. What is allowed there is for
    /// [`evaluate`](crate::evaluate) to say.
    #[must_use]
    pub fn prefixes(&self, bucket: &str, username: Option<&str>) -> BTreeSet<String> {
        let variables = Variables { username };
        let is_naming =
            |statement: &&Statement| statement.effect == Effect::Allow || statement.is_not_resource;
        let naming = self.statements.iter().filter(is_naming);
        naming.flat_map(|statement| statement.prefixes(bucket, variables)).collect()
    }
}

impl Statement {
    fn prefixes(&self, bucket: &str, variables: Variables<'_>) -> BTreeSet<String> {
        let mut prefixes = BTreeSet::new();
        // What it names is what it does not allow, or not deny.
        let is_all_but = self.is_not_resource && self.effect == Effect::Allow;
        if is_all_but {
            prefixes.insert(String::new());
        }
        for resource in self.resources.iter().filter(|_| !is_all_but) {
            prefixes.extend(resource.prefix(bucket, variables));
        }
        // Conditions narrow down what is named.
        if !prefixes.is_empty() {
            let listed = self.conditions.iter().flat_map(super::condition::Condition::listed_prefixes);
            prefixes.extend(listed.filter_map(|pattern| pattern.shortest(variables)));
        }
        prefixes
    }
}

impl NamedResource {
    /// How keys of a bucket begin that it matches; empty of the bucket itself. `None`: it matches none.
    fn prefix(&self, bucket: &str, variables: Variables<'_>) -> Option<String> {
        let Self::S3(pattern) = self else { return Some(String::new()) };
        let (name, key) = pattern.text().split_once('/').unwrap_or((pattern.text(), ""));
        let part = |text| Pattern::new(text, Syntax { wildcards: true, variables: true }).ok();
        if !part(name)?.matches(bucket, variables) {
            return None;
        }
        part(key)?.shortest(variables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(statements: &str, bucket: &str) -> Vec<String> {
        let document = format!("{{\"Version\": \"2012-10-17\", \"Statement\": [{statements}]}}");
        let policy = Policy::identity(document.as_bytes()).unwrap();
        policy.prefixes(bucket, Some("alice")).into_iter().collect()
    }

    fn of_resource(resource: &str) -> Vec<String> {
        prefixes(
            &format!("{{\"Effect\": \"Allow\", \"Action\": \"s3:*\", \"Resource\": \"{resource}\"}}"),
            "in",
        )
    }

    #[test]
    fn resources_name_prefixes() {
        for (resource, expected) in [
            ("*", &[""][..]),
            ("arn:aws:s3:::*", &[""]),
            ("arn:aws:s3:::in", &[""]),
            ("arn:aws:s3:::in/*", &[""]),
            ("arn:aws:s3:::in/raw/*", &["raw/"]),
            ("arn:aws:s3:::i?/raw/*.jpg", &["raw/.jpg"]),
            ("arn:aws:s3:::*/a?c", &["axc"]),
            ("arn:aws:s3:::in/home/${aws:username}/*", &["home/alice/"]),
            ("arn:aws:s3:::in/${*}*", &["*"]),
            ("arn:aws:s3:::inn/raw/*", &[]),
            ("arn:aws:s3:::${aws:username}/raw/*", &[]),
        ] {
            assert_eq!(of_resource(resource), expected, "{resource}");
        }
    }

    #[test]
    fn listings_are_of_the_prefixes_of_their_conditions() {
        let listing = |operator: &str, resource: &str| {
            format!(
                "{{\"Effect\": \"Allow\", \"Action\": \"s3:ListBucket\", \"Resource\": \"{resource}\", \
                 \"Condition\": {{\"{operator}\": {{\"s3:prefix\": [\"raw/*\", \"other/\"]}}}}}}"
            )
        };
        assert_eq!(prefixes(&listing("StringLike", "arn:aws:s3:::in"), "in"), ["", "other/", "raw/"]);
        assert_eq!(prefixes(&listing("StringNotLike", "arn:aws:s3:::in"), "in"), [""]);
        assert!(prefixes(&listing("StringLike", "arn:aws:s3:::other"), "in").is_empty());
    }

    #[test]
    fn what_is_denied_is_not_named() {
        let deny = "{\"Effect\": \"Deny\", \"Action\": \"s3:*\", \"Resource\": \"arn:aws:s3:::in/secret/*\"}";
        assert!(prefixes(deny, "in").is_empty());
        let but =
            "{\"Effect\": \"Allow\", \"Action\": \"s3:*\", \"NotResource\": \"arn:aws:s3:::in/secret/*\"}";
        assert_eq!(prefixes(but, "in"), [""]);
        let rest =
            "{\"Effect\": \"Deny\", \"Action\": \"s3:*\", \"NotResource\": \"arn:aws:s3:::in/mine/*\"}";
        assert_eq!(prefixes(rest, "in"), ["mine/"]);
        assert!(prefixes(rest, "other").is_empty());
    }
}
