//! CVE-2016-9962: a program of the container looks into the process that `exec` sends there, before it is the program.

use super::{Outside, agent, attempts};
use crate::common::{Bundle, CAPABILITIES, wait_until};
use serde_json::json;

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2016_9962() {
    let mut bundle = Bundle::new();
    bundle.set("process/args", agent::args("snoop"));
    assert_eq!(what_it_finds(&bundle), "");
}

/// The same where the container may look into any process of its PID namespace, and no user namespace limits that.
#[test]
#[ignore = "needs root: makes containers"]
fn cve_2016_9962_with_cap_sys_ptrace() {
    let outside = Outside::new();
    let marker = outside.path().join("marker");
    std::fs::write(&marker, "of the host").unwrap();
    let mut bundle = Bundle::new();
    bundle.set("process/args", agent::hunter(&marker));
    let list = [&CAPABILITIES[..], &["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE"]].concat();
    bundle.set("process/capabilities", json!({ "bounding": list, "effective": list, "permitted": list }));
    assert_eq!(what_it_finds(&bundle), "");
}

/// Has the agent watch while programs are sent into its container.
fn what_it_finds(bundle: &Bundle) -> String {
    agent::install(bundle);
    bundle.run_detached();
    let file = |name: &str| bundle.rootfs().join(name);
    wait_until("the agent", || file("ready").exists());
    let mut made = 0;
    for _ in attempts() {
        bundle.call(&["exec", &bundle.name, "true"]).good();
        made += 1;
    }
    std::fs::write(file("stop"), "").unwrap();
    wait_until("what it found", || file("found").exists() && bundle.status() == "stopped");
    let found = std::fs::read_to_string(file("found")).unwrap();
    let (processes, leaks) = found.split_once('\n').unwrap();
    let seen: usize = processes.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(seen > made / 4, "the agent saw too little: {processes} of {made}");
    leaks.to_owned()
}
