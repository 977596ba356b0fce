"""The engines: each with its own store in the benchmark's folder, started by hand where it needs a daemon."""
import os
import pathlib
import shutil
import subprocess
import time

from measure import Account, Failed, installed, quiet

# Rootful podman asks for more open files than a machine without CAP_SYS_RESOURCE may give.
CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


class Engine:
    """A command line with its global options. `account` counts the CPU of client, daemon and helpers."""

    def __init__(self, name, command, env=None):
        self.name, self.command, self.env = name, command, env or {}
        self.account = Account(name)

    def call(self, *arguments):
        return quiet(*self.command, *arguments, env={**os.environ, **self.env})

    def settle(self):
        """Waits for what goes on in the background."""

    def close(self):
        self.account.close()


class Carboy(Engine):
    def __init__(self, bench):
        folder = bench.folder / "carboy"
        options = [f"--root={folder / 'root'}", f"--runroot={folder / 'run'}"]
        super().__init__("carboy", [bench.ours("carboy"), *options])
        self.folder = folder

    def settle(self):
        self.call("system", "df")

    def close(self):
        for point in sorted((mount for mount in mounts() if str(self.folder) in mount), reverse=True):
            subprocess.run(["umount", "-l", point], check=False)
        super().close()


class Podman(Engine):
    def __init__(self, bench):
        folder = bench.folder / "podman"
        folder.mkdir()
        (folder / "containers.conf").write_text(CONTAINERS_CONF)
        storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder / "root"}"\nrunroot = "{folder / "run"}"\n'
        (folder / "storage.conf").write_text(storage)
        options = [f"--root={folder / 'root'}", f"--runroot={folder / 'run'}", f"--tmpdir={folder / 'tmp'}"]
        env = {"CONTAINERS_CONF": str(folder / "containers.conf"), "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")}
        super().__init__("podman", ["podman", *options], env)
        self.folder = folder

    def close(self):
        subprocess.run([*self.command, "rm", "-af"], env={**os.environ, **self.env}, capture_output=True, check=False)
        unmount_below(self.folder)
        super().close()


class Docker(Engine):
    """A dockerd of our own: its own data, its own socket, no bridge and no firewall rules."""

    def __init__(self, bench):
        # Socket paths are at most 107 characters long.
        self.folder = pathlib.Path(f"/run/carboy-bench-{os.getpid()}")
        self.data = bench.folder / "docker"
        self.folder.mkdir()
        self.data.mkdir()
        socket = f"unix://{self.folder}/docker.sock"
        client = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else shutil.which("docker")
        super().__init__("docker", [client, "-H", socket], {"DOCKER_CONFIG": str(self.folder)})
        self.log = open(self.folder / "log", "wb")
        self.account.join()
        try:
            self.daemon = subprocess.Popen(
                ["dockerd", f"--data-root={self.data}", f"--exec-root={self.folder / 'exec'}", "-H", socket]
                + [f"--pidfile={self.folder / 'pid'}", "--bridge=none", "--iptables=false", "--ip6tables=false"],
                stdout=self.log,
                stderr=self.log,
            )
        finally:
            self.account.leave()
        try:
            self.wait()
        except BaseException:
            self.close()
            raise

    def wait(self):
        for _ in range(150):
            if subprocess.run([*self.command, "version"], capture_output=True, check=False).returncode == 0:
                return
            if self.daemon.poll() is not None:
                break
            time.sleep(0.2)
        raise Failed(f"dockerd does not answer: {(self.folder / 'log').read_text().strip()[-300:]}")

    def close(self):
        self.daemon.terminate()
        try:
            self.daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        self.log.close()
        unmount_below(self.folder)
        unmount_below(self.data)
        shutil.rmtree(self.folder, ignore_errors=True)
        super().close()


def mounts():
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return [line.split(" ")[4] for line in file]


def unmount_below(folder):
    for point in sorted((mount for mount in mounts() if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", point], check=False)


def start_all(bench):
    """Ours first, then every peer that is installed and starts."""
    started = [Carboy(bench)]
    for program, engine in (("podman", Podman), ("dockerd", Docker)):
        if not installed(program):
            continue
        try:
            started.append(engine(bench))
        except Failed as error:
            print(f"  skipped {program}: {error}")
    return started


def close_all(engines):
    for engine in reversed(engines):
        engine.close()
