//! The program says of every system call what the profile says.

#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "a test")]

mod common;

use carboy_oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use carboy_seccomp::{Arch, Conditions, DockerProfile, KernelVersion, compile_for, default_profile, summary};
use common::{Call, Meaning, run};

const KERNEL: KernelVersion = KernelVersion(6, 18);

/// Arguments around everything that a profile here compares with.
const INTERESTING: [u64; 22] = [
    0,
    1,
    2,
    8,
    9,
    11,
    12,
    13,
    16,
    40,
    45,
    46,
    0x2_0000,
    0x2_0008,
    0x0010_0000,
    0x0002_0000,
    0x7e02_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_000c,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

fn agree(profile: &Seccomp, native: Arch, archs: &[Arch]) -> usize {
    let filter = compile_for(profile, native).unwrap();
    let mut longest = 0;
    for &arch in archs {
        let meaning = Meaning::new(profile, arch);
        let base = if arch == Arch::X32 { 0x4000_0000 } else { 0 };
        let numbers = (0..700).chain([0x0ffff, 0x3fff_fff0]).map(|n| n + base);
        for number in numbers {
            // The multiplexers have a test of their own.
            if arch == Arch::X86 && [102, 117].contains(&number) {
                continue;
            }
            for first in INTERESTING {
                for third in [0, 9, 10] {
                    let call = Call { number, audit: arch.audit(), args: [first, first / 2, third, 0, 7, u64::MAX] };
                    let (verdict, steps) = run(&filter.program, &call);
                    assert_eq!(verdict, meaning.of(&call), "{arch:?} {call:x?}");
                    longest = longest.max(steps);
                }
            }
        }
    }
    assert!(filter.program.len() < 4096);
    longest
}

const X86_FAMILY: [Arch; 3] = [Arch::X86_64, Arch::X86, Arch::X32];

fn caps(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_default_profile_means_the_same_compiled() {
    for set in [&[][..], &["CAP_SYS_ADMIN"], &["CAP_SYS_PTRACE", "CAP_SYS_TIME"]] {
        let profile = default_profile(&caps(set), Arch::X86_64, KERNEL);
        let longest = agree(&profile, Arch::X86_64, &X86_FAMILY);
        assert!(longest <= 24, "{longest} instructions for one call");
    }
    let profile = default_profile(&[], Arch::Aarch64, KernelVersion(4, 4));
    agree(&profile, Arch::Aarch64, &[Arch::Aarch64]);
}

#[test]
fn docker_s_answers() {
    let verdict = |set: &[&str], kernel, name: &str, args: [u64; 6]| {
        let profile = default_profile(&caps(set), Arch::X86_64, kernel);
        let filter = compile_for(&profile, Arch::X86_64).unwrap();
        let number = Arch::X86_64.number(name).unwrap();
        run(&filter.program, &Call { number, audit: Arch::X86_64.audit(), args }).0
    };
    let (allow, eperm, enosys) = (0x7fff_0000, 0x0005_0001, 0x0005_0026);
    for (name, args, expected) in [
        ("read", [0; 6], allow),
        ("mount", [0; 6], eperm),
        ("io_uring_setup", [0; 6], eperm),
        ("keyctl", [0; 6], eperm),
        ("clone", [0x11, 0, 0, 0, 0, 0], allow),
        ("clone", [0x1000_0011, 0, 0, 0, 0, 0], eperm),
        ("clone3", [0; 6], enosys),
        ("unshare", [0; 6], eperm),
        ("socket", [2, 1, 0, 0, 0, 0], allow),
        ("socket", [40, 1, 0, 0, 0, 0], eperm),
        ("socket", [38, 1, 0, 0, 0, 0], eperm),
        ("personality", [0xffff_ffff, 0, 0, 0, 0, 0], allow),
        ("personality", [0x4_0000, 0, 0, 0, 0, 0], eperm),
        ("ptrace", [0; 6], allow),
        ("file_setattr", [0; 6], enosys),
    ] {
        assert_eq!(verdict(&[], KERNEL, name, args), expected, "{name} {args:x?}");
    }
    assert_eq!(verdict(&["CAP_SYS_ADMIN"], KERNEL, "clone3", [0; 6]), allow);
    assert_eq!(verdict(&["CAP_SYS_ADMIN"], KERNEL, "clone", [0x1000_0011, 0, 0, 0, 0, 0]), allow);
    assert_eq!(verdict(&[], KernelVersion(4, 4), "ptrace", [0; 6]), eperm);
    assert_eq!(verdict(&["CAP_BPF"], KERNEL, "bpf", [0; 6]), allow);
}

fn rule(names: &[&str], action: &str, errno: Option<u32>, args: &[(u32, &str, u64, u64)]) -> SeccompRule {
    let args = args
        .iter()
        .map(|(index, op, value, two)| SeccompArg {
            index: *index,
            op: format!("SCMP_CMP_{op}"),
            value: *value,
            value_two: *two,
        })
        .collect();
    SeccompRule { names: names.iter().collect(), action: format!("SCMP_ACT_{action}"), errno_ret: errno, args }
}

fn profile(default: &str, syscalls: Vec<SeccompRule>) -> Seccomp {
    let architectures =
        caps(&["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_S390X", "SCMP_ARCH_ARM"]);
    Seccomp { default_action: format!("SCMP_ACT_{default}"), architectures, syscalls, ..Seccomp::default() }
}

#[test]
fn every_comparison_and_action() {
    for op in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
        for value in INTERESTING {
            for default in ["ALLOW", "KILL_PROCESS", "LOG"] {
                let syscalls = vec![
                    rule(&["read", "socketpair"], "ERRNO", Some(5), &[(0, op, value, 0x1_0000_0009)]),
                    rule(&["read"], "TRAP", None, &[(0, op, value / 2, 1), (2, "EQ", 9, 0)]),
                    rule(&["read"], "TRACE", Some(7), &[(5, "GT", u64::MAX - 1, 0), (1, op, value, value)]),
                    rule(&["write"], "KILL", None, &[(0, "LE", value, 0)]),
                    rule(&["write"], "KILL_PROCESS", None, &[(0, op, value, 0)]),
                ];
                agree_on(&profile(default, syscalls), &["read", "write", "socketpair", "openat"]);
            }
        }
    }
}

/// Like [`agree`], for few calls.
fn agree_on(profile: &Seccomp, names: &[&str]) {
    let filter = compile_for(profile, Arch::X86_64).unwrap();
    for arch in X86_FAMILY {
        let meaning = Meaning::new(profile, arch);
        for number in names.iter().filter_map(|name| arch.number(name)) {
            for first in INTERESTING {
                for third in [8, 9] {
                    let call = Call { number, audit: arch.audit(), args: [first, first, third, 0, 0, u64::MAX] };
                    assert_eq!(run(&filter.program, &call).0, meaning.of(&call), "{arch:?} {call:x?}");
                }
            }
        }
    }
}

#[test]
fn conflicts_are_settled_as_by_libseccomp() {
    let syscalls = vec![
        rule(&["read"], "ERRNO", Some(5), &[(0, "EQ", 1, 0)]),
        rule(&["read"], "ERRNO", Some(6), &[]),
        rule(&["read"], "ERRNO", Some(7), &[]),
        rule(&["write"], "ALLOW", None, &[]),
        rule(&["write"], "ERRNO", Some(8), &[]),
        rule(&["close"], "ERRNO", Some(9), &[(0, "EQ", 1, 0), (0, "EQ", 2, 0)]),
        rule(&["not_a_call"], "KILL", None, &[]),
    ];
    let profile = profile("ALLOW", syscalls);
    let filter = compile_for(&profile, Arch::X86_64).unwrap();
    let verdict = |name: &str, first| {
        let number = Arch::X86_64.number(name).unwrap();
        run(&filter.program, &Call { number, audit: Arch::X86_64.audit(), args: [first, 0, 0, 0, 0, 0] }).0
    };
    assert_eq!(verdict("read", 1), 0x0005_0006, "the first rule without comparisons counts");
    assert_eq!(verdict("write", 0), 0x0005_0008, "a rule that repeats the default hides nothing");
    assert_eq!(
        [verdict("close", 1), verdict("close", 2), verdict("close", 3)],
        [0x0005_0009, 0x0005_0009, 0x7fff_0000]
    );
}

#[test]
fn strangers_are_killed_and_multiplexers_are_covered() {
    let mut profile = profile("ALLOW", vec![rule(&["socket", "shmget"], "ERRNO", Some(5), &[])]);
    let filter = compile_for(&profile, Arch::X86_64).unwrap();
    let mux = |name: &str, first| {
        let number = Arch::X86.number(name).unwrap();
        run(&filter.program, &Call { number, audit: Arch::X86.audit(), args: [first, 0, 0, 0, 0, 0] }).0
    };
    assert_eq!(
        [mux("socketcall", 1), mux("socketcall", 2), mux("ipc", 23), mux("ipc", 3)],
        [0x0005_0005, 0x7fff_0000, 0x0005_0005, 0x7fff_0000]
    );
    let native = |number| Call { number, audit: Arch::X86_64.audit(), args: [0; 6] };
    assert_eq!(run(&filter.program, &Call { audit: Arch::Aarch64.audit(), ..native(0) }).0, 0);
    profile.architectures = caps(&["SCMP_ARCH_X86_64"]);
    let filter = compile_for(&profile, Arch::X86_64).unwrap();
    assert_eq!(run(&filter.program, &native(0x4000_0000)).0, 0, "x32 is not listed");
    assert_eq!(run(&filter.program, &native(u32::MAX)).0, 0x7fff_0000, "-1 is a skipped call");
    assert_eq!(run(&filter.program, &Call { audit: Arch::X86.audit(), ..native(3) }).0, 0, "x86 is not listed");
}

#[test]
fn a_long_profile_needs_long_jumps() {
    // Every second call has its own errno: no ranges, and trees far longer than a conditional jump reaches.
    let names: Vec<(String, u32)> = (0..460)
        .step_by(2)
        .filter_map(|number| {
            let all = carboy_seccomp::default_profile(&caps(&["CAP_SYS_ADMIN"]), Arch::X86_64, KERNEL);
            let mut names = all.syscalls.iter().flat_map(|rule| rule.names.iter());
            let name = names.find(|name| Arch::X86_64.number(name) == Some(number))?;
            Some((name.to_owned(), number))
        })
        .collect();
    let mut syscalls: Vec<_> =
        names.iter().map(|(name, number)| rule(&[name], "ERRNO", Some(*number + 1), &[])).collect();
    syscalls.push(rule(
        &["close"],
        "ERRNO",
        Some(4000),
        &[(3, "GE", 0x5_0000_0005, 0), (2, "MASKED_EQ", 0xf_0000_000f, 9)],
    ));
    assert!(syscalls.len() > 150);
    let longest = agree(&profile("ALLOW", syscalls), Arch::X86_64, &X86_FAMILY);
    assert!(longest < 30, "{longest}");
}

#[test]
fn errors_name_the_field() {
    let mut bad = profile("ALLOW", vec![rule(&["read"], "ERRNO", Some(1), &[(0, "EQ", 1, 0)])]);
    let cases: [(&dyn Fn(&mut Seccomp), &str); 9] = [
        (&|p| p.default_action = "ALLOW".into(), "linux.seccomp.defaultAction: unknown value \"ALLOW\""),
        (&|p| p.default_errno_ret = Some(1), "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no errno"),
        (&|p| p.default_action = "SCMP_ACT_NOTIFY".into(), "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot"),
        (
            &|p| p.architectures[1] = "SCMP_ARCH_Z80".into(),
            "linux.seccomp.architectures[1]: unknown value \"SCMP_ARCH_Z80\"",
        ),
        (&|p| p.flags = caps(&["X"]), "linux.seccomp.flags[0]: unknown value \"X\""),
        (&|p| p.syscalls[0].action = "X".into(), "linux.seccomp.syscalls[0].action: unknown value \"X\""),
        (&|p| p.syscalls[0].errno_ret = Some(5000), "linux.seccomp.syscalls[0].errnoRet: 5000 is above"),
        (&|p| p.syscalls[0].args[0].index = 6, "linux.seccomp.syscalls[0].args[0].index: 6 is above 5"),
        (&|p| p.syscalls[0].args[0].op = "EQ".into(), "linux.seccomp.syscalls[0].args[0].op: unknown value \"EQ\""),
    ];
    for (spoil, expected) in cases {
        let mut spoilt = bad.clone();
        spoil(&mut spoilt);
        let error = compile_for(&spoilt, Arch::X86_64).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    bad.flags = caps(&["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"]);
    bad.syscalls.push(rule(&["mount"], "NOTIFY", None, &[]));
    let filter = compile_for(&bad, Arch::X86_64).unwrap();
    assert!(filter.notifies);
    assert_eq!(filter.flags, 2 | 4 | 8);
}

#[test]
fn docker_profiles_depend_on_the_container() {
    let text = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": {}, "excludes": {}},
            {"name": "mount", "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}}
        ]}"#;
    let parsed = DockerProfile::parse(text).unwrap();
    let names = |set: &[&str], arch, kernel| {
        let capabilities = caps(set);
        let resolved = parsed.resolve(&Conditions { capabilities: &capabilities, arch, kernel }).unwrap().unwrap();
        let rules = resolved.syscalls.iter().map(|rule| {
            let name = rule.names.iter().next().unwrap();
            format!("{name}{}", rule.errno_ret.unwrap_or(0))
        });
        (rules.collect::<Vec<_>>().join(" "), resolved.architectures.len())
    };
    assert_eq!(names(&[], Arch::X86_64, KERNEL), ("read0 mount1 ptrace0 arch_prctl0".into(), 2));
    assert_eq!(names(&["CAP_SYS_ADMIN"], Arch::Aarch64, KernelVersion(4, 7)), ("read0 mount0".into(), 0));
    assert!(DockerProfile::parse(r#"{"architectures":["a"],"archMap":[{}]}"#).is_err());
    assert_eq!(KernelVersion::parse("6.18.44-fc-v657"), Some(KernelVersion(6, 18)));
}

#[test]
fn a_summary_counts_every_native_call_once() {
    if Arch::native() != Arch::X86_64 {
        return;
    }
    let counted = summary(&default_profile(&[], Arch::X86_64, KERNEL)).unwrap();
    assert_eq!(counted.conditional, 3, "socket, personality, clone");
    assert!(counted.allowed > 290 && counted.refused > 60, "{counted:?}");
}
