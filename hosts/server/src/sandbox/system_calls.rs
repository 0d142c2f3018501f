//! seccomp: system calls that a server never makes fail with EPERM in every thread.
//!
//! The list names forbidden calls, because the calls of allocators and C libraries change with their versions (ADR 0040).

use std::{collections::BTreeMap, ops::RangeInclusive};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::Enforcement;

/// Calls about other programs and processes, the kernel, mounts, namespaces, identities, clocks and keys, and interfaces
/// with a record of vulnerabilities.
const FORBIDDEN: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_personality,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_mknodat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    SYS_SETXATTRAT,
    SYS_REMOVEXATTRAT,
    SYS_FILE_SETATTR,
    libc::SYS_fchown,
    libc::SYS_utimensat,
    libc::SYS_fchownat,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    libc::SYS_fanotify_init,
    libc::SYS_inotify_init1,
    libc::SYS_kexec_file_load,
    SYS_OPEN_TREE_ATTR,
    SYS_QUOTACTL_FD,
    SYS_STATMOUNT,
    SYS_LISTMOUNT,
];

/// Newer than the libc crate knows; the same on every architecture (include/uapi/asm-generic/unistd.h).
const SYS_QUOTACTL_FD: i64 = 443;
const SYS_STATMOUNT: i64 = 457;
const SYS_LISTMOUNT: i64 = 458;
const SYS_SETXATTRAT: i64 = 463;
const SYS_OPEN_TREE_ATTR: i64 = 467;
const SYS_REMOVEXATTRAT: i64 = 466;
const SYS_FILE_SETATTR: i64 = 469;

/// Calls about other processes, by the number of the process, which is their first argument; 0 is the caller.
const OF_A_PROCESS: &[i64] = &[
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
];

/// Requests to devices that libraries make: non-blocking and close-on-exec descriptors, bytes that can be read,
/// whether something is a terminal, and how large, and the number of a network interface. All others fail, with them those
/// that type into a terminal (TIOCSTI, TIOCLINUX).
const ALLOWED_IOCTLS: [u64; 8] = [
    libc::FIONBIO,
    libc::FIOCLEX,
    libc::FIONCLEX,
    libc::FIONREAD,
    libc::TCGETS,
    libc::TCGETS2,
    libc::TIOCGWINSZ,
    libc::SIOCGIFINDEX,
];

/// Requests to descriptors that have signals sent to another process.
const FORBIDDEN_FCNTLS: [i32; 3] = [libc::F_SETOWN, F_SETSIG, F_SETOWN_EX];
const F_SETSIG: i32 = 10;
const F_SETOWN_EX: i32 = 15;

/// Calls that a server makes only until its sockets are open: it sets the rights of unix sockets.
const FORBIDDEN_ONCE_LISTENING: &[i64] = &[libc::SYS_fchmod, libc::SYS_fchmodat, SYS_FCHMODAT2];
const SYS_FCHMODAT2: i64 = 452;

#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_inotify_init,
    libc::SYS_mknod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[i64] = &[];

#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE_ONCE_LISTENING: &[i64] = &[libc::SYS_chmod];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE_ONCE_LISTENING: &[i64] = &[];

/// Address families; of netlink, which name resolution uses, only routes.
const ALLOWED_FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// The bits of a socket's type that are no flags.
const TYPE: u64 = 0xf;
/// All types but that of streams; those of unix datagrams can be sent to sockets of other programs.
const NOT_STREAMS: RangeInclusive<u64> = 2..=TYPE;

/// Flags of `clone` that create namespaces, in which the creator has all capabilities.
const FORBIDDEN_CLONES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

pub(super) fn restrict() -> Enforcement {
    // Of several filters the strictest result applies.
    enforcement(without_clone3().and_then(apply).and_then(|()| apply(filter()?)))
}

/// What a server that listens no longer needs either.
pub(super) fn restrict_listening() -> Enforcement {
    enforcement(listening_filter().and_then(apply))
}

fn apply(filter: BpfProgram) -> Result<(), String> {
    seccompiler::apply_filter_all_threads(&filter).map_err(message)
}

fn enforcement(applied: Result<(), String>) -> Enforcement {
    applied.map_or_else(Enforcement::None, |()| Enforcement::Full)
}

fn message(error: impl std::fmt::Display) -> String {
    error.to_string()
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn unconditional(calls: &[i64]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

/// A rule about the low 32 bits of arguments, by index: all of its conditions must hold.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, String> {
    let conditions = conditions.iter().map(|(index, operator, value)| {
        SeccompCondition::new(*index, SeccompCmpArgLen::Dword, operator.clone(), *value).map_err(message)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?).map_err(message)
}

fn filter() -> Result<BpfProgram, String> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let mut rules = unconditional(FORBIDDEN);
    rules.extend(unconditional(FORBIDDEN_HERE));
    let raw = [libc::AF_INET, libc::AF_INET6]
        .map(|family| rule(&[(0, Eq, family as u64), (1, MaskedEq(TYPE), libc::SOCK_RAW as u64)]));
    let others = [
        rule(&ALLOWED_FAMILIES.map(|family| (0, Ne, family as u64))),
        rule(&[(0, Eq, libc::AF_NETLINK as u64), (2, Ne, libc::NETLINK_ROUTE as u64)]),
    ];
    rules.insert(libc::SYS_socket, raw.into_iter().chain(others).collect::<Result<_, _>>()?);
    let owners = FORBIDDEN_FCNTLS.map(|request| rule(&[(1, Eq, request as u64)]));
    rules.insert(libc::SYS_fcntl, owners.into_iter().collect::<Result<_, _>>()?);
    let clones = FORBIDDEN_CLONES.map(|flag| rule(&[(0, MaskedEq(flag as u64), flag as u64)]));
    rules.insert(libc::SYS_clone, clones.into_iter().collect::<Result<_, _>>()?);
    for call in OF_A_PROCESS {
        rules.insert(*call, vec![rule(&[(0, Ne, 0)])?]);
    }
    // Threads may signal each other, as `raise` does.
    rules.insert(libc::SYS_tgkill, vec![rule(&[(0, Ne, std::process::id().into())])?]);
    rules.insert(libc::SYS_ioctl, vec![rule(&ALLOWED_IOCTLS.map(|request| (1, Ne, request)))?]);
    let program = program(rules, libc::EPERM)?;
    Ok(REFUSE_X32.into_iter().chain(program).collect())
}

fn listening_filter() -> Result<BpfProgram, String> {
    use SeccompCmpOp::{Eq, MaskedEq};
    let mut rules = unconditional(FORBIDDEN_ONCE_LISTENING);
    rules.extend(unconditional(FORBIDDEN_HERE_ONCE_LISTENING));
    // No unix socket of another program can be connected to, nor can a datagram be sent to one.
    rules.insert(libc::SYS_socket, vec![rule(&[(0, Eq, libc::AF_UNIX as u64)])?]);
    let pairs = NOT_STREAMS.map(|kind| rule(&[(1, MaskedEq(TYPE), kind)]));
    rules.insert(libc::SYS_socketpair, pairs.collect::<Result<_, _>>()?);
    program(rules, libc::EPERM)
}

/// `clone3` passes its flags in memory, where a filter cannot read them. On ENOSYS C libraries use `clone`.
fn without_clone3() -> Result<BpfProgram, String> {
    program(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)
}

fn program(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<BpfProgram, String> {
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(message)?;
    let refuse = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(message)?;
    filter.try_into().map_err(message)
}

/// On x86-64 calls also have a number of the x32 ABI, with this bit set: all of those are refused.
#[cfg(target_arch = "x86_64")]
const REFUSE_X32: [seccompiler::sock_filter; 3] = {
    const X32_BIT: u32 = 0x4000_0000;
    // The number is the first field of struct seccomp_data (linux/seccomp.h).
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    [
        seccompiler::sock_filter { code: LOAD_NUMBER, jt: 0, jf: 0, k: 0 },
        seccompiler::sock_filter { code: JUMP_IF_AT_LEAST, jt: 0, jf: 1, k: X32_BIT },
        seccompiler::sock_filter { code: RETURN, jt: 0, jf: 0, k: REFUSE },
    ]
};
#[cfg(not(target_arch = "x86_64"))]
const REFUSE_X32: [seccompiler::sock_filter; 0] = [];

#[cfg(test)]
mod tests {
    use super::*;

    /// Interprets a filter as the kernel does, for the few instructions that are used; returns its action.
    fn action(program: &BpfProgram, number: u32, first_argument: u64) -> u32 {
        action_of(program, number, [first_argument, 0])
    }

    fn action_of(program: &BpfProgram, number: u32, arguments: [u64; 2]) -> u32 {
        let arch: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
        let mut data = [number, arch].into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
        // The instruction's address, then the arguments.
        data.extend([0; 8]);
        data.extend(arguments.into_iter().flat_map(u64::to_le_bytes));
        data.extend([0; 32]);
        let (mut at, mut value) = (0, 0_u32);
        loop {
            let step = &program[at];
            at += 1;
            let mut jump = |holds: bool| at += usize::from(if holds { step.jt } else { step.jf });
            match step.code {
                0x20 => {
                    let from = step.k as usize;
                    value = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                }
                0x05 => at += step.k as usize,
                0x15 => jump(value == step.k),
                0x25 => jump(value > step.k),
                0x35 => jump(value >= step.k),
                0x45 => jump(value & step.k != 0),
                0x54 => value &= step.k,
                0x06 => return step.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
    const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

    #[test]
    fn calls_of_a_server_are_allowed_and_forbidden_ones_refused() {
        let filter = filter().unwrap();
        for call in
            [libc::SYS_read, libc::SYS_openat, libc::SYS_accept4, libc::SYS_futex, libc::SYS_exit_group]
        {
            assert_eq!(action(&filter, call as u32, 0), ALLOWED, "{call}");
        }
        for call in [libc::SYS_execve, libc::SYS_ptrace, libc::SYS_unshare, libc::SYS_bpf] {
            assert_eq!(action(&filter, call as u32, 0), REFUSED, "{call}");
        }
        let socket = |family: i32| action(&filter, libc::SYS_socket as u32, family as u64);
        assert_eq!([libc::AF_INET, libc::AF_UNIX, libc::AF_NETLINK].map(socket), [ALLOWED; 3]);
        assert_eq!([libc::AF_PACKET, libc::AF_ALG, libc::AF_VSOCK].map(socket), [REFUSED; 3]);
        let raw =
            |family: i32| action_of(&filter, libc::SYS_socket as u32, [family as u64, libc::SOCK_RAW as u64]);
        assert_eq!([libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(raw), [REFUSED, REFUSED, ALLOWED]);
        let fcntl = |request: i32| action_of(&filter, libc::SYS_fcntl as u32, [3, request as u64]);
        assert_eq!([libc::F_SETFL, libc::F_SETOWN, F_SETOWN_EX].map(fcntl), [ALLOWED, REFUSED, REFUSED]);
    }

    #[test]
    fn threads_can_be_created_and_namespaces_cannot() {
        let filter = filter().unwrap();
        let clone = |flags: i32| action(&filter, libc::SYS_clone as u32, u64::from(flags as u32));
        let thread = libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM
            | libc::CLONE_SETTLS
            | libc::CLONE_PARENT_SETTID
            | libc::CLONE_CHILD_CLEARTID;
        assert_eq!(clone(thread), ALLOWED);
        for flag in FORBIDDEN_CLONES {
            assert_eq!(clone(flag | libc::SIGCHLD), REFUSED, "{flag:#x}");
        }
        let without_clone3 = without_clone3().unwrap();
        let none = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        assert_eq!(action(&without_clone3, libc::SYS_clone3 as u32, 0), none);
        assert_eq!(action(&without_clone3, libc::SYS_clone as u32, 0), ALLOWED);
    }

    #[test]
    fn nothing_is_typed_into_terminals() {
        let filter = filter().unwrap();
        let ioctl = |request: u64| action_of(&filter, libc::SYS_ioctl as u32, [0, request]);
        const TIOCLINUX: u64 = 0x541c;
        // The kernel looks at the low 32 bits alone.
        for request in [libc::TIOCSTI, TIOCLINUX, libc::TIOCSTI | 1 << 32, libc::TIOCSCTTY, libc::TCSETS] {
            assert_eq!(ioctl(request), REFUSED, "{request:#x}");
        }
        assert_eq!([libc::FIONBIO, libc::TCGETS].map(ioctl), [ALLOWED, ALLOWED]);
    }

    #[test]
    fn other_processes_are_left_alone() {
        let filter = filter().unwrap();
        let own = u64::from(std::process::id());
        for call in OF_A_PROCESS {
            assert_eq!([0, 1].map(|id| action(&filter, *call as u32, id)), [ALLOWED, REFUSED], "{call}");
        }
        let tgkill = |id| action(&filter, libc::SYS_tgkill as u32, id);
        assert_eq!([own, 1].map(tgkill), [ALLOWED, REFUSED]);
        assert_eq!(action(&filter, libc::SYS_kill as u32, own), REFUSED);
    }

    #[test]
    fn a_listening_server_makes_no_unix_sockets() {
        let filter = listening_filter().unwrap();
        let flags = (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) as u64;
        let call = |number: i64, family: i32, kind: i32| {
            action_of(&filter, number as u32, [family as u64, kind as u64 | flags])
        };
        assert_eq!(call(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM), ALLOWED);
        assert_eq!(call(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM), REFUSED);
        assert_eq!(call(libc::SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM), ALLOWED);
        for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_SEQPACKET] {
            assert_eq!(call(libc::SYS_socketpair, libc::AF_UNIX, kind), REFUSED);
        }
        assert_eq!(call(libc::SYS_fchmod, 0, 0), REFUSED);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn calls_of_the_x32_abi_are_refused() {
        let filter = filter().unwrap();
        for call in [libc::SYS_read, libc::SYS_execve] {
            assert_eq!(action(&filter, call as u32 | 0x4000_0000, 0), REFUSED);
        }
    }
}
