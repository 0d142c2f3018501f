//! What a worker may do: read fonts (Landlock), and compute (seccomp). All else fails.

/// What is left of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// Fonts may be read.
    FontsOnly,
    /// The kernel cannot restrict files; the system calls that open them are then forbidden.
    None,
}

/// Where systems have their fonts.
pub(crate) const FONT_FOLDERS: [&str; 2] = ["/usr/share/fonts", "/usr/local/share/fonts"];

#[cfg(target_os = "linux")]
pub(crate) use linux::{restrict_files, restrict_system_calls};

#[cfg(not(target_os = "linux"))]
pub(crate) fn restrict_files() -> Files {
    Files::None
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps, reason = "on Linux it may fail")]
pub(crate) fn restrict_system_calls(_: Files) -> Result<(), String> {
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::io;

    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
        RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
    };
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, TargetArch,
    };

    use super::{FONT_FOLDERS, Files};

    /// The calls of an allocator, of threads that wait for each other, of a clock, and of a socket that is open.
    const COMPUTE: &[i64] = &[
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_recvfrom,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_sendto,
        libc::SYS_close,
        libc::SYS_ppoll,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_getrandom,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    #[cfg(target_arch = "x86_64")]
    const COMPUTE_HERE: &[i64] = &[libc::SYS_poll];
    #[cfg(not(target_arch = "x86_64"))]
    const COMPUTE_HERE: &[i64] = &[];

    /// The calls by which fonts are found and read, where Landlock allows no other file.
    const READ_FONTS: &[i64] = &[
        libc::SYS_openat,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_lseek,
        libc::SYS_getdents64,
        libc::SYS_readlinkat,
    ];
    /// What they ask of descriptors: all but whom to signal, and locks.
    const READ_FONTS_FCNTLS: [i32; 4] = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC];

    #[cfg(target_arch = "x86_64")]
    const READ_FONTS_HERE: &[i64] = &[libc::SYS_readlink];
    #[cfg(not(target_arch = "x86_64"))]
    const READ_FONTS_HERE: &[i64] = &[];

    /// The flag of a clone that is a thread of this process, not a process.
    const CLONE_THREAD: u64 = libc::CLONE_THREAD as u64;

    /// Of this thread and those that it starts.
    pub(crate) fn restrict_files() -> Files {
        match apply_landlock() {
            Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Files::FontsOnly,
            _ => Files::None,
        }
    }

    fn apply_landlock() -> Result<RulesetStatus, RulesetError> {
        const REQUESTED: ABI = ABI::V8;
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(REQUESTED))?
            .handle_access(AccessNet::from_all(REQUESTED))?
            .scope(Scope::from_all(REQUESTED))?
            .create()?
            // Folders that do not exist are skipped.
            .add_rules(path_beneath_rules(FONT_FOLDERS, AccessFs::ReadFile | AccessFs::ReadDir))?
            .restrict_self()?;
        Ok(status.ruleset)
    }

    /// Of every thread. Where the kernel has no seccomp, the process has no rights but those of its host, and no files open: a
    /// server that requires a sandbox does not start there.
    ///
    /// # Errors
    /// Why it is not restricted, on a kernel that could.
    pub(crate) fn restrict_system_calls(files: Files) -> Result<(), String> {
        for program in filters(files).map_err(|error| error.to_string())? {
            match seccompiler::apply_filter_all_threads(&program) {
                Err(seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error))
                    if is_missing(&error) => {}
                applied => applied.map_err(|error| error.to_string())?,
            }
        }
        Ok(())
    }

    /// Whether an error says that the kernel is built without seccomp, or is older than it.
    fn is_missing(error: &io::Error) -> bool {
        matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL))
    }

    /// In the order in which they are applied: the last allows no further one.
    fn filters(files: Files) -> Result<Vec<BpfProgram>, seccompiler::Error> {
        let arch: TargetArch = std::env::consts::ARCH.try_into()?;
        let mut programs: Vec<BpfProgram> = Vec::new();
        let fonts = match files {
            Files::FontsOnly => [READ_FONTS, READ_FONTS_HERE],
            Files::None => [&[][..], &[]],
        };
        let allowed = [COMPUTE, COMPUTE_HERE].into_iter().chain(fonts).flatten();
        let mut rules: BTreeMap<_, _> = allowed.map(|call| (*call, Vec::new())).collect();
        // `abort` signals the process itself.
        rules.insert(libc::SYS_tgkill, vec![argument(0, std::process::id())?]);
        if files == Files::FontsOnly {
            let requests = READ_FONTS_FCNTLS.map(|request| argument(1, request as u32));
            rules.insert(libc::SYS_fcntl, requests.into_iter().collect::<Result<_, _>>()?);
        }
        // hpvcd starts a thread for each image.
        if cfg!(feature = "heic") {
            let thread = SeccompCmpOp::MaskedEq(CLONE_THREAD);
            let thread = SeccompCondition::new(0, SeccompCmpArgLen::Qword, thread, CLONE_THREAD)?;
            rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![thread])?]);
            // A filter cannot read the flags of `clone3`. Where it is missing, libc uses `clone`.
            rules.insert(libc::SYS_clone3, Vec::new());
            let missing = SeccompAction::Errno(libc::ENOSYS as u32);
            let hidden = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
            programs.push(SeccompFilter::new(hidden, SeccompAction::Allow, missing, arch)?.try_into()?);
        }
        let refused = SeccompAction::Errno(libc::EPERM as u32);
        programs.push(SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()?);
        Ok(programs)
    }

    /// Calls of which the low 32 bits of this argument are `value`.
    fn argument(index: u8, value: u32) -> Result<SeccompRule, seccompiler::BackendError> {
        let equal =
            SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(value))?;
        SeccompRule::new(vec![equal])
    }
}
