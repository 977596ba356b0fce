//! Docker's default profile as data.
//!
//! The facts are those of moby's `profiles/seccomp` (July 2026, which no longer allows AF_VSOCK, AF_ALG and families that the
//! kernel has dropped), so that a program runs here if and only if it runs under Docker's default. What each list means is said
//! beside it.

use crate::arch::Arch;
use crate::docker::{Conditions, KernelVersion};
use carboy_oci::runtime::{Seccomp, SeccompArg, SeccompRule};

/// Allowed to everybody.
const ALWAYS: &str = "\
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime \
    clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep \
    clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 \
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit \
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 \
    fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat \
    fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait \
    futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid \
    getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid \
    getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname \
    getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 \
    inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl \
    ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 \
    lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr \
    lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat \
    mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 \
    mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall \
    munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal \
    pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 \
    process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv \
    recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat \
    renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo \
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max \
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield \
    seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto \
    set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 \
    setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid \
    setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl \
    shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat \
    stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time \
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 \
    timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate \
    truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork \
    vmsplice wait4 waitid waitpid write writev";

/// Since Linux 4.8 a filter sees the calls that a tracer makes another process do, so that ptrace(2) is no way around it.
const TRACING: (KernelVersion, &str) = (KernelVersion(4, 8), "process_vm_readv process_vm_writev ptrace");

/// Allowed on these architectures of the kernel.
const BY_ARCH: [(&[&str], &str); 3] = [
    (&["arm", "arm64"], "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2"),
    (&["amd64", "x32"], "arch_prctl"),
    (&["amd64", "x32", "x86"], "modify_ldt"),
];

/// Allowed to holders of a capability.
const BY_CAPABILITY: [(&str, &str); 14] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// socket(2) with a family below this is allowed: AF_UNSPEC to AF_ROSE.
const SOCKET_BELOW: u64 = 12;
/// And with these: netbeui, security, key, netlink, packet, ash, rds, sna, pppox, llc, ib, mpls, can, tipc, bluetooth, iucv,
/// rxrpc, phonet, ieee802154, nfc, kcm, qipcrtr, smc, xdp, mctp. Missing are families that reach beyond the container (AF_VSOCK, AF_ALG)
/// or that no kernel has any more.
const SOCKETS: [u64; 25] =
    [13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45];

/// personality(2): PER_LINUX and PER_LINUX32, both also with UNAME26, and the query.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// `CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET`.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

/// Docker's default profile for a container with this bounding set, on this kernel.
pub fn default_profile(capabilities: &[String], arch: Arch, kernel: KernelVersion) -> Seccomp {
    let conditions = Conditions { capabilities, arch, kernel };
    let mut syscalls = vec![allow(ALWAYS)];
    if kernel >= TRACING.0 {
        syscalls.push(allow(TRACING.1));
    }
    syscalls.push(with_argument("socket", "SCMP_CMP_LT", SOCKET_BELOW));
    syscalls.extend(SOCKETS.map(|family| with_argument("socket", "SCMP_CMP_EQ", family)));
    syscalls.extend(PERSONALITIES.map(|persona| with_argument("personality", "SCMP_CMP_EQ", persona)));
    let by_arch = BY_ARCH.iter().filter(|(archs, _)| archs.contains(&conditions.arch_name()));
    syscalls.extend(by_arch.map(|(_, names)| allow(names)));
    let by_capability = BY_CAPABILITY.iter().filter(|(capability, _)| conditions.has(capability));
    syscalls.extend(by_capability.map(|(_, names)| allow(names)));
    if !conditions.has("CAP_SYS_ADMIN") {
        // clone without new namespaces; clone3's flags lie behind a pointer, so it is hidden and the C library falls back to clone.
        syscalls.push(with_argument("clone", "SCMP_CMP_MASKED_EQ", CLONE_NAMESPACES));
        syscalls.push(SeccompRule {
            names: ["clone3"].into(),
            action: "SCMP_ACT_ERRNO".to_owned(),
            errno_ret: Some(libc::ENOSYS as u32),
            args: Vec::new(),
        });
    }
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        default_errno_ret: Some(libc::EPERM as u32),
        architectures: family(arch).iter().map(|arch| arch.name().to_owned()).collect(),
        syscalls,
        ..Seccomp::default()
    }
}

/// The architecture and those whose programs its kernels may run too.
fn family(arch: Arch) -> &'static [Arch] {
    match arch {
        Arch::X86_64 | Arch::X32 => &[Arch::X86_64, Arch::X86, Arch::X32],
        Arch::Aarch64 => &[Arch::Aarch64, Arch::Arm],
        Arch::X86 => &[Arch::X86],
        Arch::Arm => &[Arch::Arm],
    }
}

fn allow(names: &str) -> SeccompRule {
    SeccompRule {
        names: names.split_ascii_whitespace().collect(),
        action: "SCMP_ACT_ALLOW".to_owned(),
        errno_ret: None,
        args: Vec::new(),
    }
}

/// Allows a call depending on its first argument.
fn with_argument(name: &str, op: &str, value: u64) -> SeccompRule {
    let arg = SeccompArg { index: 0, value, value_two: 0, op: op.to_owned() };
    SeccompRule { args: vec![arg], ..allow(name) }
}
