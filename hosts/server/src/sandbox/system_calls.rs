//! seccomp: system calls that a server never makes fail with EPERM in every thread.
//!
//! The list names forbidden calls, because the calls of allocators and C libraries change with their versions (ADR 0040).

use std::collections::BTreeMap;

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
];

#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_kexec_file_load,
    libc::SYS_ustat,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[i64] = &[];

/// Address families: raw packets, and the kernel's crypto API.
const FORBIDDEN_SOCKETS: [i32; 2] = [libc::AF_PACKET, libc::AF_ALG];

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
    let apply = |filter: &BpfProgram| seccompiler::apply_filter_all_threads(filter).map_err(message);
    // Of several filters the strictest result applies.
    let applied = without_clone3().and_then(|filter| apply(&filter)).and_then(|()| apply(&filter()?));
    match applied {
        Ok(()) => Enforcement::Full,
        Err(why) => Enforcement::None(why),
    }
}

fn message(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn filter() -> Result<BpfProgram, String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        FORBIDDEN.iter().chain(FORBIDDEN_HERE).map(|call| (*call, Vec::new())).collect();
    let sockets = FORBIDDEN_SOCKETS.map(|family| {
        let is = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family as u64);
        SeccompRule::new(vec![is.map_err(message)?]).map_err(message)
    });
    rules.insert(libc::SYS_socket, sockets.into_iter().collect::<Result<_, _>>()?);
    let clones = FORBIDDEN_CLONES.map(|flag| {
        let flag = flag as u64;
        let is = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(flag), flag);
        SeccompRule::new(vec![is.map_err(message)?]).map_err(message)
    });
    rules.insert(libc::SYS_clone, clones.into_iter().collect::<Result<_, _>>()?);
    let program = program(rules, libc::EPERM)?;
    Ok(REFUSE_X32.into_iter().chain(program).collect())
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
        let arch: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
        let mut data = [number, arch].into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
        // The instruction's address, then the arguments.
        data.extend([0; 8]);
        data.extend(first_argument.to_le_bytes());
        data.extend([0; 40]);
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
        assert_eq!([libc::AF_INET, libc::AF_UNIX, libc::AF_PACKET].map(socket), [ALLOWED, ALLOWED, REFUSED]);
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

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn calls_of_the_x32_abi_are_refused() {
        let filter = filter().unwrap();
        for call in [libc::SYS_read, libc::SYS_execve] {
            assert_eq!(action(&filter, call as u32 | 0x4000_0000, 0), REFUSED);
        }
    }
}
