//! Landlock: which files can be reached at all.

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::{Extent, Reach};

/// The newest interface whose rights are asked for; older kernels hold what they know of it.
const ABI_ASKED: ABI = ABI::V6;

pub(super) fn restrict(reach: &Reach) -> Extent {
    match apply(reach) {
        Ok(RulesetStatus::FullyEnforced) => Extent::Full,
        Ok(RulesetStatus::PartiallyEnforced) => {
            Extent::Partial("this kernel's Landlock is older than what is asked of it".into())
        }
        Ok(RulesetStatus::NotEnforced) => {
            Extent::None("this kernel has no Landlock, or it is not enabled".into())
        }
        Err(error) => Extent::None(error.to_string()),
    }
}

fn apply(reach: &Reach) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // All but running what is there.
    let write = AccessFs::from_all(ABI_ASKED) & !AccessFs::Execute;
    let status = Ruleset::default()
        // Its first interface refuses every rename between folders, which publishing a file is: then none of it.
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI_ASKED))?
        // No signals to, and no abstract sockets of, processes outside.
        .scope(Scope::from_all(ABI_ASKED))?
        .create()?
        // What does not exist is left out.
        .add_rules(path_beneath_rules(&reach.read, read))?
        .add_rules(path_beneath_rules(&reach.written, write))?
        // Removing: what a killed program has left there, and one's own at the end. Reading: the folder is locked, and so
        // opened, while a socket is bound.
        .add_rules(path_beneath_rules(
            &reach.sockets,
            AccessFs::MakeSock | AccessFs::RemoveFile | AccessFs::ReadDir,
        ))?
        .restrict_self()?;
    Ok(status.ruleset)
}
