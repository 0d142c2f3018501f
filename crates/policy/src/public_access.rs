//! What counts as public, and what is blocked of it.
//! Source: AWS, "Blocking public access to your Amazon S3 storage", section "The meaning of 'public'".

use std::net::IpAddr;

use crate::{
    condition::{Condition, Network},
    document::{Effect, Policy, Statement},
    principal::Principals,
};

/// The four settings of a bucket's PublicAccessBlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublicAccessBlock {
    /// Public ACLs are refused. For whoever sets them.
    pub block_public_acls: bool,
    /// Public ACLs allow nothing.
    pub ignore_public_acls: bool,
    /// Public policies are refused. For whoever sets them.
    pub block_public_policy: bool,
    /// A public policy allows nothing to those outside the owner's account.
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// All four: the default of a bucket.
    pub const ALL: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };
}

/// Whether a policy of a bucket, or an ACL, makes anything public: a statement allows everybody, and neither all of its
/// addresses nor its principals are fixed. What other statements deny does not count. An identity policy is never public.
#[must_use]
pub fn is_public(policy: &Policy) -> bool {
    policy.statements.iter().any(is_public_statement)
}

fn is_public_statement(statement: &Statement) -> bool {
    statement.effect == Effect::Allow
        && matches!(statement.principals, Some(Principals::Everybody | Principals::Authenticated))
        && !statement
            .conditions
            .iter()
            .any(|condition| condition.names_principals() || is_few_addresses(condition))
}

/// Networks wider than /8 (IPv6: /32) are public unless private; and so are several that are as wide together.
fn is_few_addresses(condition: &Condition) -> bool {
    let Some(networks) = condition.networks() else { return false };
    let (mut v4, mut v6) = (0_u64, 0_u128);
    for network in networks.filter(|network| !is_private(network)) {
        let length = u32::from(network.length);
        match network.address {
            IpAddr::V4(_) => v4 += 1 << (32 - length),
            IpAddr::V6(_) => v6 = v6.saturating_add(1_u128.checked_shl(128 - length).unwrap_or(u128::MAX)),
        }
    }
    v4 <= 1 << 24 && v6 <= 1 << 96
}

/// Source: RFC 1918, RFC 4193; loopback.
fn is_private(network: &Network) -> bool {
    match network.address {
        IpAddr::V4(address) => {
            address.is_private() && network.length >= if address.octets()[0] == 10 { 8 } else { 16 }
                || address.is_loopback() && network.length >= 8
        }
        IpAddr::V6(address) => address.is_unique_local() && network.length >= 7,
    }
}
