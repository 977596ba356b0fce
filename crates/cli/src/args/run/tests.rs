use crate::args::{Cli, Command, ContainerVerb};
use carboy_engine::{Network, RunRequest};
use clap::Parser;

fn request(line: &str) -> Result<RunRequest, String> {
    let words = std::iter::once("carboy").chain(line.split_whitespace());
    let cli = Cli::try_parse_from(words).map_err(|e| e.to_string())?;
    let Command::ContainerVerb(ContainerVerb::Run(args)) = cli.command else { panic!("not run") };
    args.request().map_err(|e| e.to_string())
}

#[test]
fn everything_after_the_image_is_the_program() {
    let request = request("run -it --rm -m 64m --cpus 1.5 busybox ls -l --rm").unwrap();
    assert_eq!(request.image.as_deref(), Some("busybox"));
    assert_eq!(request.command, ["ls", "-l", "--rm"]);
    assert!(request.terminal && request.stdin_open && request.stdin_once && request.remove);
    assert_eq!(request.limits.memory, Some(64 << 20));
    assert_eq!(request.limits.nano_cpus, Some(1_500_000_000));
}

#[test]
fn options_are_translated() {
    let request = request(
        "run -e A=1 --network host --cap-drop ALL --cap-add net_admin,chown -v /a:/b:ro --tmpfs /run --ulimit nofile=1:2 \
         --security-opt no-new-privileges --security-opt seccomp=unconfined -h box --device /dev/null:/dev/x:r \
         --pids-limit -1 --entrypoint= --rootfs /r -- prog -x",
    )
    .unwrap();
    assert_eq!((request.image, request.command), (None, vec!["prog".to_owned(), "-x".into()]));
    assert_eq!(request.network, Network::Host);
    assert_eq!(request.cap_add, ["net_admin", "chown"]);
    assert_eq!(request.entrypoint, Some(vec![]));
    assert_eq!(request.limits.pids, Some(-1));
    assert_eq!(request.devices[0].permissions, "r");
    assert_eq!(request.ulimits[0].hard, 2);
    assert!(request.no_new_privileges);
}

#[test]
fn what_cannot_be_done_is_refused() {
    for line in [
        "run",
        "run --network bridge x",
        "run --bogus x",
        "run --init x",
        "run -m 1x x",
        "run --pid container:1 x",
        "run --log-driver syslog x",
        "run --log-opt a=b x",
        "run --security-opt apparmor=x x",
        "run --device null x",
        "run --ulimit nofile x",
        "run --add-host x x",
        "run --dns x x",
        "run -v a:b x",
        "run --stop-signal NOPE x",
        "run --pull sometimes x",
    ] {
        assert!(request(line).is_err(), "{line}");
    }
}
