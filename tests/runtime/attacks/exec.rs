//! CVE-2016-9962: a program of the container looks into the process that `exec` sends there, before it is the program.

use super::{TRIES, agent};
use crate::common::{Bundle, wait_until};

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2016_9962() {
    let mut bundle = Bundle::new();
    agent::install(&bundle);
    bundle.set("process/args", agent::args("snoop"));
    bundle.run_detached();
    let file = |name: &str| bundle.rootfs().join(name);
    wait_until("the agent", || file("ready").exists());
    for _ in 0..TRIES {
        bundle.call(&["exec", &bundle.name, "true"]).good();
    }
    std::fs::write(file("stop"), "").unwrap();
    wait_until("what it found", || file("found").exists() && bundle.status() == "stopped");
    let found = std::fs::read_to_string(file("found")).unwrap();
    let (processes, leaks) = found.split_once('\n').unwrap();
    let seen: usize = processes.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(seen > TRIES / 4, "the agent saw too little: {processes}");
    assert_eq!(leaks, "");
}
