"""Running a command and knowing what it took; runs of several peers interleaved; tables."""
import ctypes
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time


def host_triple():
    return f"{platform.machine()}-unknown-linux-gnu"


class Account:
    """A cgroup that counts the CPU time of whatever is started in it: v1's cpuacct, or the unified hierarchy.

    Containers leave it for cgroups of their own, and podman moves its monitor, and with it the runtime and the cleanup: what is
    started with `--cgroup-parent` set to `parent` stays below it, and is counted.
    """

    def __init__(self, name):
        base = pathlib.Path("/sys/fs/cgroup")
        self.unified = (base / "cgroup.controllers").exists()
        self.home = base if self.unified else base / "cpuacct"
        self.parent = f"/carboy-bench-{os.getpid()}-{name}"
        self.path = self.home / self.parent[1:]
        self.path.mkdir()

    def join(self):
        (self.path / "cgroup.procs").write_text("0")

    def leave(self):
        (self.home / "cgroup.procs").write_text("0")

    def cpu_ms(self):
        if self.unified:
            line = (self.path / "cpu.stat").read_text().splitlines()[0]
            return int(line.split()[1]) / 1000
        return int((self.path / "cpuacct.usage").read_text()) / 1e6

    def settled_ms(self):
        """The time when daemons, monitors and cleanup processes have finished what belongs to a run (or after two seconds)."""
        now = self.cpu_ms()
        for _ in range(100):
            time.sleep(0.02)
            before, now = now, self.cpu_ms()
            if now - before < 0.2:
                break
        return now

    def close(self):
        hierarchies = [self.home] if self.unified else list(pathlib.Path("/sys/fs/cgroup").iterdir())
        for path in {(home / self.parent[1:]).resolve() for home in hierarchies}:
            if path.is_dir() and not remove_cgroup(path):
                print(f"  left behind: {path} is still in use", file=sys.stderr)


def remove_cgroup(path):
    """The cgroup with those below it, once their processes are gone."""
    for _ in range(50):
        try:
            for folder, _, _ in os.walk(path, topdown=False):
                os.rmdir(folder)
            return True
        except OSError:
            time.sleep(0.1)
    return False


class Bench:
    """What a case is given: a folder, our binaries, how often."""

    def __init__(self, folder, binaries, runs):
        folder.mkdir()
        self.folder, self.binaries, self.runs = folder, binaries, runs

    def ours(self, name):
        return str(self.binaries / name)


class Peer:
    """One of the competitors in a case: a command, and what to do before and after each run, outside the clock."""

    def __init__(self, name, command, env=None, before=None, account=None):
        self.name, self.command, self.before, self.account = name, command, before, account
        self.env = {**os.environ, **(env or {})}
        self.samples = []

    def run(self, number):
        if self.before:
            self.before()
        command = [word.replace("{n}", str(number)) for word in self.command]
        used = self.account.cpu_ms() if self.account else 0
        if self.account:
            self.account.join()
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
        start = time.perf_counter()
        pid = os.posix_spawnp(command[0], command, self.env, file_actions=null)
        try:
            _, status, usage = os.wait4(pid, 0)
        except BaseException:
            # Ended from outside: nothing that was started stays.
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            if self.account:
                self.account.leave()
            raise
        wall = time.perf_counter() - start
        cpu = (usage.ru_utime + usage.ru_stime) * 1000
        if self.account:
            self.account.leave()
            cpu = self.account.settled_ms() - used
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            raise Failed(f"{' '.join(command)}: exit code {code}")
        self.samples.append({"wall_ms": wall * 1000, "cpu_ms": cpu, "rss_kib": usage.ru_maxrss})

    def figure(self, key, of):
        return of(sample[key] for sample in self.samples)


class Failed(Exception):
    """A peer that does not do what it is asked: left out, and said so."""


def interleave(title, peers, runs, warm=2, pause_s=0.01):
    """Runs all peers in turn, each time beginning with another one, and prints the table. The first peer is ours."""
    print(f"\n{title}: {runs} runs each, interleaved")
    peers = list(peers)
    for number in range(-warm, runs):
        for peer in peers[number % len(peers):] + peers[: number % len(peers)]:
            try:
                peer.run(number + warm)
            except (Failed, OSError) as error:
                print(f"  skipped {peer.name}: {error}")
                peers = [other for other in peers if other is not peer]
            time.sleep(pause_s)
        if number < 0:
            for peer in peers:
                peer.samples.clear()
        if not peers:
            return {}
    table(peers)
    return {peer.name: peer.samples for peer in peers}


def table(peers):
    def row(*cells):
        print("  {:24}{:>10}{:>10}{:>10}   {:>11}{:>11}".format(*cells))

    row("", "wall min", "median", "CPU med.", "ours: wall", "CPU")
    first = peers[0]
    for peer in peers:
        wall, cpu = peer.figure("wall_ms", min), peer.figure("cpu_ms", statistics.median)
        ratios = ("", "")
        if peer is not first and wall and cpu:
            ratios = (
                f"{first.figure('wall_ms', min) / wall:.2f}",
                f"{first.figure('cpu_ms', statistics.median) / cpu:.2f}",
            )
        row(peer.name, f"{wall:.2f}", f"{peer.figure('wall_ms', statistics.median):.2f}", f"{cpu:.2f}", *ratios)
    sys.stdout.flush()


def installed(*names):
    """The first of these programs that is installed; says so if none is."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    print(f"  skipped {names[-1]}: not installed")
    return None


def quiet(*command, **options):
    """A command whose output only matters when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(str(word) for word in command)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def in_own_mounts(case):
    """Calls `case` in a process with a mount namespace without the unified hierarchy (crun refuses hybrid), returns its result."""
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(0x20000) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            if os.path.ismount("/sys/fs/cgroup/unified"):
                subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=True)
            os.write(write, json.dumps(case()).encode())
            code = 0
        except Exception as error:  # the child must never return into the caller's code
            print(f"  failed: {error}", file=sys.stderr)
        sys.stdout.flush()
        os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text or "{}")
