"""Images for the benchmark, made by other tools: a busybox for runs, Debian in five layers for pulls."""
import hashlib
import json
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


def cached(name, build):
    """A layout that is built once and kept: `build` gets an empty folder, and answers the layout that it made in it."""
    cache = pathlib.Path(os.environ.get("CARBOY_BENCH_CACHE", "/var/tmp/carboy-bench-cache"))
    layout = cache / name
    if (layout / "index.json").exists():
        return layout
    cache.mkdir(parents=True, exist_ok=True)
    print(f"  building the image {name}, once, in {cache} (some minutes)", flush=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        build(pathlib.Path(work)).rename(layout)
    return layout


def new_layout(work):
    """An empty image `bench`, and its bundle."""
    made, bundle = work / "layout", work / "bundle"
    quiet("umoci", "init", "--layout", made)
    quiet("umoci", "new", "--image", f"{made}:bench")
    quiet("umoci", "unpack", "--image", f"{made}:bench", bundle)
    return made, bundle


def debian_layout():
    """An OCI layout of Debian in five gzip layers (about 120 MB, 310 MB unpacked)."""
    return cached("debian-300", build_debian)


def build_debian(work):
    made, bundle = new_layout(work)
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
    return made


def single_layout():
    """The same files in one gzip layer."""
    return cached("debian-300-one", build_single)


def build_single(work):
    made, bundle = new_layout(work)
    whole = unpacked(work)
    (bundle / "rootfs").rmdir()
    whole.rename(bundle / "rootfs")
    quiet("umoci", "repack", "--image", f"{made}:bench", bundle)
    quiet("umoci", "gc", "--layout", made)
    return made


def unpacked(work):
    """The files of the Debian image."""
    quiet("umoci", "unpack", "--image", f"{debian_layout()}:bench", work / "whole")
    return work / "whole/rootfs"


def layers_layout():
    """The same files in 32 gzip layers of about the same size."""
    return cached("debian-300-32", build_layers)


def build_layers(work):
    made, _ = new_layout(work)
    whole = unpacked(work)
    listed = subprocess.run(
        ["find", ".", "-mindepth", "1", "-not", "-type", "d", "-printf", "%s %P\\0"],
        cwd=whole, capture_output=True, check=True,
    ).stdout
    files = [entry.split(b" ", 1) for entry in listed.split(b"\0") if entry]
    parts, sizes = [[] for _ in range(32)], [0] * 32
    for size, name in sorted(files, key=lambda entry: -int(entry[0])):
        smallest = sizes.index(min(sizes))
        parts[smallest].append(name)
        sizes[smallest] += int(size) + 2000
    for number, names in enumerate(parts):
        part = work / f"part{number}"
        part.mkdir()
        pack = subprocess.Popen(["tar", "-c", "--null", "-T", "-"], cwd=whole, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        unpack = subprocess.Popen(["tar", "-x", "-C", part], stdin=pack.stdout)
        pack.stdin.write(b"\0".join(names))
        pack.stdin.close()
        if unpack.wait() or pack.wait():
            raise Failed("tar failed")
        quiet("umoci", "insert", "--image", f"{made}:bench", part, "/")
        shutil.rmtree(part)
    quiet("umoci", "gc", "--layout", made)
    return made


def many_layout():
    """100,000 small files in one gzip layer."""
    return cached("files-100k", build_many)


def build_many(work):
    made, _ = new_layout(work)
    source = work / "many"
    noise = os.urandom(4096)
    for folder in range(500):
        (source / f"d{folder}").mkdir(parents=True)
        for number in range(200):
            size = 100 + (folder * 200 + number) * 7919 % 1900
            (source / f"d{folder}/file{number}").write_bytes(noise[folder:folder + size])
    quiet("umoci", "insert", "--image", f"{made}:bench", source, "/srv")
    quiet("umoci", "gc", "--layout", made)
    return made


def zstd_layout():
    """The Debian image with zstd layers, by zstd(1) at its default level."""
    return cached("debian-300-zstd", build_zstd)


def build_zstd(work):
    source, made = debian_layout(), work / "layout"
    (made / "blobs/sha256").mkdir(parents=True)
    (made / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    blob = lambda descriptor: source / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")  # noqa: E731
    index = json.loads((source / "index.json").read_text())
    entry = next(e for e in index["manifests"] if e["annotations"]["org.opencontainers.image.ref.name"] == "bench")
    manifest = json.loads(blob(entry).read_text())
    put(made, blob(manifest["config"]).read_bytes())
    for layer in manifest["layers"]:
        plain = subprocess.run(["gzip", "-dc", blob(layer)], capture_output=True, check=True).stdout
        packed = subprocess.run(["zstd", "-q", "-c"], input=plain, capture_output=True, check=True).stdout
        layer.update(put(made, packed), mediaType="application/vnd.oci.image.layer.v1.tar+zstd")
    entry.update(put(made, json.dumps(manifest).encode()))
    (made / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return made


def put(layout, content):
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


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
        self.config, self.storage = config, folder / "registry"
        self.reference = f"{self.host}/bench:latest"
        self.start()
        try:
            self.wait()
            quiet("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:bench", f"docker://{self.reference}")
        except BaseException:
            self.close()
            raise

    def start(self):
        self.process = subprocess.Popen(
            ["docker-registry", "serve", self.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def empty(self):
        """Starts again without anything in it."""
        self.close()
        shutil.rmtree(self.storage, ignore_errors=True)
        self.start()
        self.wait()

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
