"""Images for the benchmark, made by other tools: a busybox for runs, Debian in five layers for pulls."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from measure import Failed, quiet

BUSYBOX_LINKS = ("true", "sh", "cat", "echo", "ls", "sleep")

# Debian packages whose files become the upper layers of the big image.
LAYERS = (
    ("libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal", "libssl3", "libsqlite3-0"),
    ("perl-modules-5.36", "libperl5.36", "git", "git-man"),
    ("cpp-12",),
    ("libicu72", "tzdata"),
)


def busybox_root(folder):
    """A root file system with a static busybox."""
    if not os.path.exists("/bin/busybox"):
        raise Failed("/bin/busybox is missing: apt-get install busybox-static")
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (folder / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", folder / "bin/busybox")
    for name in BUSYBOX_LINKS:
        (folder / "bin" / name).symlink_to("busybox")
    return folder


def busybox_archive(folder):
    """A docker-archive named busybox:bench."""
    layout, bundle, archive = folder / "layout", folder / "bundle", folder / "busybox.tar"
    quiet("umoci", "init", "--layout", layout)
    quiet("umoci", "new", "--image", f"{layout}:bench")
    quiet("umoci", "unpack", "--image", f"{layout}:bench", bundle)
    busybox_root(bundle / "rootfs")
    quiet("umoci", "repack", "--image", f"{layout}:bench", bundle)
    quiet("umoci", "config", "--image", f"{layout}:bench", "--config.cmd", "/bin/sh", "--config.env", "PATH=/bin")
    quiet("skopeo", "copy", f"oci:{layout}:bench", f"docker-archive:{archive}:busybox:bench")
    return archive


def debian_layout():
    """An OCI layout of Debian in five gzip layers (about 120 MB, 310 MB unpacked), built once and kept."""
    cache = pathlib.Path(os.environ.get("CARBOY_BENCH_CACHE", "/var/tmp/carboy-bench-cache"))
    layout = cache / "debian-300"
    if (layout / "index.json").exists():
        return layout
    cache.mkdir(parents=True, exist_ok=True)
    print(f"  building the image for the pull, once, in {cache} (some minutes)", flush=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        work = pathlib.Path(work)
        made, bundle = work / "layout", work / "bundle"
        quiet("umoci", "init", "--layout", made)
        quiet("umoci", "new", "--image", f"{made}:bench")
        quiet("umoci", "unpack", "--image", f"{made}:bench", bundle)
        tar = work / "base.tar"
        quiet("mmdebstrap", "--variant=minbase", "bookworm", tar)
        quiet("tar", "-C", bundle / "rootfs", "--exclude=./dev/*", "-xf", tar)
        quiet("umoci", "repack", "--refresh-bundle", "--image", f"{made}:bench", bundle)
        for packages in LAYERS:
            downloads = work / packages[0]
            downloads.mkdir()
            subprocess.run(["chmod", "777", downloads], check=True)
            quiet("apt-get", "download", *packages, cwd=downloads)
            for package in downloads.glob("*.deb"):
                quiet("dpkg-deb", "-x", package, bundle / "rootfs")
            quiet("umoci", "repack", "--refresh-bundle", "--image", f"{made}:bench", bundle)
        quiet("umoci", "config", "--image", f"{made}:bench", "--config.cmd", "/bin/bash")
        quiet("umoci", "gc", "--layout", made)
        made.rename(layout)
    return layout


class Registry:
    """Debian's docker-registry on a free loopback port, with one image in it."""

    def __init__(self, folder, layout):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        config = folder / "registry.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder / 'registry'}}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
        )
        self.process = subprocess.Popen(
            ["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.reference = f"{self.host}/bench:latest"
        try:
            self.wait()
            quiet("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:bench", f"docker://{self.reference}")
        except BaseException:
            self.close()
            raise

    def wait(self):
        host, port = self.host.split(":")
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.1)
        raise Failed("docker-registry does not answer")

    def close(self):
        self.process.terminate()
        self.process.wait()
