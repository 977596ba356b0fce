"""What is measured. Each case prints its tables and returns every figure."""
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import time

import engines
import images
from measure import Failed, Peer, in_own_mounts, installed, interleave, quiet

# No other engine does this by itself: a daemon's socket, or a process, lies between.
SNAPSHOT_AIM_MS = 1.0

CAPABILITIES = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
)


def runtime(bench):
    """`run` of a static `true` in a plain bundle, and the same with a system call filter."""
    return in_own_mounts(lambda: runtime_cases(bench))


def runtime_cases(bench):
    images.busybox_root(bench.folder / "rootfs")
    mount_state(bench)
    binaries = [("carboy-runtime", bench.ours("carboy-runtime"))]
    binaries += [(name, path) for name in ("crun", "runc", "youki") if (path := installed(name))]
    results = {}
    for title, filtered in (("runtime: run true, plain bundle", False), ("runtime: run true, with a seccomp profile", True)):
        bundle = make_bundle(bench, "seccomp" if filtered else "plain", filtered)
        if bundle is None:
            continue
        peers = [Peer(name, runtime_command(bench, name, path, bundle)) for name, path in binaries]
        if not filtered and (floor := pathlib.Path(bench.ours("floor"))).exists():
            root = str(bundle / "rootfs")
            peers.append(Peer("floor", [str(floor), root, "/bin/true"]))
            peers.append(Peer("floor --cgroups", [str(floor), "--cgroups", root, "/bin/true"]))
        results[title] = interleave(title, peers, bench.runs)
        if not filtered:
            results["syscalls"] = runtime_costs(peers)
    return results


def mount_state(bench):
    """A tmpfs for the runtimes' records, as /run is on a real machine; in a mount namespace of our own."""
    state = bench.folder / "state"
    state.mkdir()
    quiet("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", state)


def runtime_command(bench, name, path, bundle):
    state = bench.folder / "state" / name
    return [path, "--root", str(state), "run", "--bundle", str(bundle), f"bench-{os.getpid()}-{name}-{{n}}"]


def make_bundle(bench, name, filtered, process=None, resources=None):
    """A bundle as `runc spec` would write it, without a terminal; with other fields of `process` and further resources."""
    bundle = bench.folder / name
    bundle.mkdir()
    (bundle / "rootfs").symlink_to("../rootfs")
    config = json.loads(PLAIN)
    config["root"] = {"path": str(bench.folder / "rootfs"), "readonly": True}
    config["process"].update(process or {})
    config["linux"]["resources"].update(resources or {})
    if filtered:
        source = pathlib.Path("/usr/share/containers/seccomp.json")
        if not source.exists():
            print(f"  skipped the profile: {source} is missing (golang-github-containers-common)")
            return None
        config["linux"]["seccomp"] = resolve_profile(json.loads(source.read_text()))
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


def resolve_profile(profile):
    """The rules of a Docker-like profile that apply to a container with the default capabilities on x86-64."""
    held = {f"CAP_{name}" for name in CAPABILITIES.split()}
    rules = []
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        wanted = set(includes.get("caps") or ()) <= held and "amd64" in (includes.get("arches") or ["amd64"])
        if not wanted or held & set(excludes.get("caps") or ()) or "amd64" in (excludes.get("arches") or ()):
            continue
        kept = {key: rule[key] for key in ("names", "action", "errnoRet") if key in rule}
        rules.append({**kept, "args": rule.get("args") or []})
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    }


def runtime_costs(peers):
    """Peak memory and system calls of one more run each."""
    costs = {}
    scale = rss_scale()
    print("\n  {:24}{:>14}{:>14}".format("", "peak RSS, MB", "system calls"))
    for peer in peers:
        if not peer.samples:
            continue
        calls = "-"
        if shutil.which("strace"):
            command = [word.replace("{n}", "strace") for word in peer.command]
            traced = subprocess.run(["strace", "-f", "-c", *command], capture_output=True, text=True, check=False)
            total = re.findall(r"^100\.00\s+\S+\s+\S+\s+(\d+)", traced.stderr, re.MULTILINE)
            calls = total[-1] if total else "-"
        rss = peak_rss_kib([word.replace("{n}", "rss") for word in peer.command], scale)
        costs[peer.name] = {"rss_kib": rss, "syscalls": calls}
        print(f"  {peer.name:24}{rss / 1000:>14.1f}{calls:>14}")
    return costs


def peak_rss_kib(command, scale=1.0):
    """As `busybox time` sees it: a process's peak includes that of whoever started it, so the starter must be small."""
    text = subprocess.run(["busybox", "time", "-v", *command], capture_output=True, text=True, check=False).stderr
    found = re.search(r"Maximum resident set size \(kbytes\): (\d+)", text)
    return int(found[1]) * scale if found else 0


def rss_scale():
    """busybox takes the kernel's kilobytes for pages; newer ones do not."""
    report = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    true = int(subprocess.run(["busybox", "env", "python3", "-c", report], capture_output=True, check=True).stdout)
    return 0.25 if peak_rss_kib(["python3", "-c", "pass"]) > 2.5 * true else 1.0


def engine(bench):
    """`run --rm --network none` of a static `true` in an image."""
    needed = [installed(name) for name in ("umoci", "skopeo")]
    if not all(needed):
        return {}
    archive = images.busybox_archive(bench.folder)
    started = engines.start_all(bench)
    try:
        peers = []
        for each in started:
            try:
                each.call("load", "-i", archive)
            except Failed as error:
                print(f"  skipped {each.name}: {error}")
                continue
            parent = f"--cgroup-parent={each.account.parent}"
            command = [*each.command, "run", "--rm", parent, "--network", "none", "busybox:bench", "true"]
            peers.append(Peer(each.name, command, each.env, account=each.account))
        title = "engine: run --rm --network none busybox true"
        return {title: interleave(title, peers, bench.runs)}
    finally:
        engines.close_all(started)


def hello(bench):
    """`carboy run --rm hello`, warm: the first container that a new user sees."""
    ours = engines.Carboy(bench)
    try:
        command = [*ours.command, "run", "--rm", f"--cgroup-parent={ours.account.parent}", "hello"]
        peers = [Peer("carboy run --rm hello", command, account=ours.account)]
        return {"hello": interleave("hello: carboy run --rm hello, warm", peers, bench.runs)}
    finally:
        ours.close()


def pull(bench):
    """A pull of five gzip layers from a registry on loopback; nothing is in any store before."""
    return pull_of(bench, "5 gzip layers", images.debian_layout)


def pullone(bench):
    """The same files in one gzip layer."""
    return pull_of(bench, "one gzip layer", images.single_layout)


def pullzstd(bench):
    """The five layers, compressed with zstd."""
    return pull_of(bench, "5 zstd layers", images.zstd_layout)


def pull32(bench):
    """The same files in 32 layers."""
    return pull_of(bench, "32 gzip layers", images.layers_layout)


def pullmany(bench):
    """100,000 small files."""
    return pull_of(bench, "100,000 files in one gzip layer", images.many_layout)


def pull_of(bench, what, make_layout):
    if not all([installed(name) for name in ("umoci", "skopeo", "mmdebstrap", "docker-registry")]):
        return {}
    layout = make_layout()
    registry = images.Registry(bench.folder, layout)
    started = []
    try:
        started = engines.start_all(bench)
        peers = []
        for each in started:
            extra = ["--tls-verify=false"] if each.name == "podman" else []
            command = [*each.command, "pull", "-q", *extra, registry.reference]

            def before(each=each):
                subprocess.run(
                    [*each.command, "rmi", registry.reference],
                    env={**os.environ, **each.env}, capture_output=True, check=False,
                )
                each.settle()
                os.sync()

            peers.append(Peer(each.name, command, each.env, before=before, account=each.account))
        blobs = sum(blob.stat().st_size for blob in (layout / "blobs/sha256").iterdir())
        title = f"pull: {what}, {blobs / 1e6:.0f} MB, from loopback"
        return {title: interleave(title, peers, max(3, bench.runs // 5), warm=1)}
    finally:
        engines.close_all(started)
        registry.close()


def rmi(bench):
    """The removal of an image of 310 MB."""
    if not all([installed(name) for name in ("umoci", "skopeo", "mmdebstrap", "docker-registry")]):
        return {}
    registry = images.Registry(bench.folder, images.debian_layout())
    started = []
    try:
        started = engines.start_all(bench)
        peers = []
        for each in started:
            extra = ["--tls-verify=false"] if each.name == "podman" else []

            def before(each=each, extra=extra):
                each.settle()
                each.call("pull", "-q", *extra, registry.reference)
                os.sync()

            command = [*each.command, "rmi", registry.reference]
            peers.append(Peer(each.name, command, each.env, before=before, account=each.account))
        title = "rmi: 5 layers, 310 MB"
        return {title: interleave(title, peers, max(3, bench.runs // 5), warm=1)}
    finally:
        engines.close_all(started)
        registry.close()


def snapshot(bench):
    """A container's snapshot of the five layers prepared and removed: by the functions that the engine calls, in one process."""
    program = pathlib.Path(bench.ours("examples/snapshot"))
    if not program.exists():
        print(f"  skipped snapshot: {program} does not exist: cargo build --release -p carboy-image --example snapshot")
        return {}
    layout = images.debian_layout()
    ours = engines.Carboy(bench)
    try:
        ours.call("copy", "-q", f"oci:{layout}:bench", "carboy:bench:1")
        folders = [str(ours.folder / name) for name in ("root", "run")]
        # Each process finds the layers unmounted, and leaves them so.
        runs = [json.loads(quiet(program, *folders, "bench:1", "5")) for _ in range(bench.runs)]
    finally:
        ours.close()
    figures = {
        "prepare, mounting": [run["prepare_ms"][0] for run in runs],
        "prepare, mounted": [ms for run in runs for ms in run["prepare_ms"][1:]],
        "remove": [ms for run in runs for ms in run["remove_ms"]],
    }
    print(f"\nsnapshot of {runs[0]['layers']} layers, in one process; ms; the ratio is to the aim of {SNAPSHOT_AIM_MS:.0f} ms")
    print("  {:24}{:>10}{:>10}{:>10}{:>10}".format("", "runs", "min", "median", "ratio"))
    for name, times in figures.items():
        median = statistics.median(times)
        print(f"  {name:24}{len(times):>10}{min(times):>10.3f}{median:>10.3f}{median / SNAPSHOT_AIM_MS:>10.2f}")
    return figures


def push(bench):
    """A push of the same five layers into an empty registry; skopeo sends them from an OCI layout."""
    if not all([installed(name) for name in ("umoci", "skopeo", "mmdebstrap", "docker-registry")]):
        return {}
    layout = images.debian_layout()
    registry = images.Registry(bench.folder, layout)
    started = []
    try:
        started = engines.start_all(bench)
        peers = []

        def before():
            registry.empty()
            os.sync()

        for each in started:
            extra = ["--tls-verify=false"] if each.name == "podman" else []
            each.call("pull", "-q", *extra, registry.reference)
            command = [*each.command, "push", "-q", *extra, registry.reference]
            peers.append(Peer(each.name, command, each.env, before=before, account=each.account))
        skopeo = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:bench", f"docker://{registry.reference}"]
        peers.append(Peer("skopeo", skopeo, before=before))
        return {"push: the same into an empty registry": interleave("push", peers, max(3, bench.runs // 5), warm=1)}
    finally:
        engines.close_all(started)
        registry.close()


def sizes(bench):
    """What lies on disk, and what one running container costs in memory."""
    print("\nsizes")
    results = {}
    for name in ("carboy", "carboy-monitor", "carboy-runtime"):
        results[name] = os.path.getsize(bench.ours(name))
    for name in ("crun", "runc", "conmon", "podman", "containerd-shim-runc-v2", "containerd", "dockerd"):
        if path := shutil.which(name):
            results[name] = os.path.getsize(path)
    for name, size in results.items():
        print(f"  {name:26}{size / 1e6:>10.2f} MB on disk")
    if all([installed(name) for name in ("umoci", "skopeo")]):
        results["monitors_pss_kib"] = monitors(bench)
    return results


def monitors(bench):
    """PSS of whatever stays behind for one detached container."""
    archive = images.busybox_archive(bench.folder)
    helpers = {"carboy": "carboy-monitor", "podman": "conmon", "docker": "containerd-shim"}
    found = {}
    started = engines.start_all(bench)
    try:
        for each in started:
            try:
                each.call("load", "-i", archive)
                each.call("run", "-d", "--name", "sleeper", "--network", "none", "busybox:bench", "sleep", "300")
                time.sleep(3)  # Idle: what a monitor needs only to start it gives back after a second.
                members = (each.account.path / "cgroup.procs").read_text().split()
                before = set(members)
                pss = [pss_kib(pid) for pid in pids_of(helpers[each.name]) if below(pid, each, before)]
                found[each.name] = max(pss, default=None)
                shown = f"{found[each.name]} KiB" if pss else "not found"
                print(f"  {helpers[each.name]:26}{shown:>13} PSS for one container")
            except Failed as error:
                print(f"  skipped {each.name}: {error}")
            finally:
                subprocess.run(
                    [*each.command, "rm", "-f", "sleeper"],
                    env={**os.environ, **each.env}, capture_output=True, check=False,
                )
    finally:
        engines.close_all(started)
    return found


def pids_of(program):
    """Processes whose program has this name."""
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.path.basename(os.readlink(entry / "exe")).startswith(program):
                    yield entry.name
            except OSError:
                continue


def below(pid, each, members):
    """Whether the process belongs to this benchmark's engine: it was started with its folders, or in its account."""
    try:
        line = pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return False
    return pid in members or str(getattr(each, "folder", "-")) in line


def pss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


PLAIN = """{
 "ociVersion": "1.0.2",
 "process": {
  "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "env": ["PATH=/bin", "TERM=xterm"], "cwd": "/",
  "capabilities": {
   "bounding": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
   "effective": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
   "permitted": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
  },
  "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
  "noNewPrivileges": true
 },
 "hostname": "bench",
 "mounts": [
  {"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
  {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
   "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
  {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
   "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
  {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
  {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
  {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
   "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
 ],
 "linux": {
  "resources": {"devices": [{"allow": false, "access": "rwm"}]},
  "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
  "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
   "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
  "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
 }
}
"""
