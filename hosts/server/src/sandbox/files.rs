//! Landlock: restricts the process to the files it needs.

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::{AllowedPaths, Enforcement};

/// The Landlock interface requested; older kernels enforce the part of it that they know.
const LANDLOCK_ABI: ABI = ABI::V8;

pub(super) fn restrict(paths: &AllowedPaths) -> Enforcement {
    match apply(paths) {
        Ok(RulesetStatus::FullyEnforced) => Enforcement::Full,
        Ok(RulesetStatus::PartiallyEnforced) => {
            Enforcement::Partial("this kernel's Landlock is older than what is requested".into())
        }
        Ok(RulesetStatus::NotEnforced) => {
            Enforcement::None("this kernel has no Landlock, or it is not enabled".into())
        }
        Err(error) => Enforcement::None(error.to_string()),
    }
}

fn apply(paths: &AllowedPaths) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // Regular files and folders: no devices, pipes, sockets, links, programs or requests to devices.
    let write = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let status = Ruleset::default()
        // Landlock's first interface refuses renames between folders, by which files are published: do not use it.
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))?
        // Forbids signals to processes outside, and their abstract sockets.
        .scope(Scope::from_all(LANDLOCK_ABI))?
        .create()?
        // Paths that do not exist are skipped.
        .add_rules(path_beneath_rules(&paths.read, read))?
        .add_rules(path_beneath_rules(&paths.written, write))?
        // RemoveFile for stale and own sockets; ReadDir because the folder is opened to lock it while binding.
        .add_rules(path_beneath_rules(
            &paths.sockets,
            AccessFs::MakeSock | AccessFs::RemoveFile | AccessFs::ReadDir,
        ))?
        .restrict_self()?;
    Ok(status.ruleset)
}
