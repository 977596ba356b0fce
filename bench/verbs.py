"""The commands of a container's life, one by one, and what else the runtime must reach."""
import os
import pathlib
import statistics
import time

import cases
import images
from measure import Failed, Peer, installed, interleave, quiet

LIFE = ("create", "start", "state", "exec", "kill", "delete")
MANY = 100
TIGHT = 512 << 10


def verbs(bench):
    """create, start, state, exec, kill and delete of one container; list of a hundred; a container with very little memory."""
    images.busybox_root(bench.folder / "rootfs")
    cases.mount_state(bench)
    bundle = cases.make_bundle(bench, "sleeping", False, {"args": ["/bin/sleep", "1000"]})
    runtimes = [Runtime(bench, "carboy-runtime", bench.ours("carboy-runtime"), bundle)]
    runtimes += [Runtime(bench, name, path, bundle) for name in ("crun", "runc") if (path := installed(name))]
    results = {}
    try:
        print(f"\nverbs: {bench.runs} lives each, interleaved; wall minimum in ms")
        for number in range(-2, bench.runs):
            for runtime in runtimes:
                runtime.life(number + 2)
            if number < 0:
                for runtime in runtimes:
                    runtime.forget()
        table(runtimes)
        results["verbs"] = {runtime.name: {verb: runtime.peers[verb].samples for verb in LIFE} for runtime in runtimes}
        for runtime in runtimes:
            runtime.make_many()
        peers = [Peer(runtime.name, [*runtime.command, "list"]) for runtime in runtimes]
        results["list"] = interleave(f"verbs: list of {MANY}", peers, bench.runs)
    finally:
        for runtime in runtimes:
            runtime.close()
    print(f"\nverbs: a container with {TIGHT >> 10} KiB of memory")
    tight = cases.make_bundle(bench, "tight", False, resources={"memory": {"limit": TIGHT}})
    for runtime in runtimes:
        results[f"tight {runtime.name}"] = runtime.tries(tight)
    return results


def table(runtimes):
    print("  {:10}".format("") + "".join(f"{runtime.name:>16}" for runtime in runtimes) + "   ours/the others: wall, CPU median")
    ours = runtimes[0]
    for verb in LIFE:
        row = "".join(f"{runtime.figure(verb, 'wall_ms', min):>16.2f}" for runtime in runtimes)
        ratios = []
        for runtime in runtimes[1:]:
            pair = [
                ours.figure(verb, key, of) / (runtime.figure(verb, key, of) or 1)
                for key, of in (("wall_ms", min), ("cpu_ms", statistics.median))
            ]
            ratios.append(f"{pair[0]:.2f} {pair[1]:.2f}")
        print(f"  {verb:10}{row}   {' · '.join(ratios)}")


class Runtime:
    """One runtime with a state folder of its own."""

    def __init__(self, bench, name, path, bundle):
        self.name, self.bundle, self.folder = name, bundle, bench.folder
        self.command = [path, "--root", str(bench.folder / "state" / name)]
        self.prefix = f"bench-{os.getpid()}-{name}"
        self.pid_file = bench.folder / f"pid-{name}"
        self.many = []
        self.peers = {verb: Peer(name, self.words(verb)) for verb in LIFE}

    def words(self, verb, container=None):
        container = container or f"{self.prefix}-{{n}}"
        before = {"create": ["--bundle", str(self.bundle), "--pid-file", str(self.pid_file)]}.get(verb, [])
        after = {"exec": ["/bin/true"], "kill": ["KILL"]}.get(verb, [])
        return [*self.command, verb, *before, container, *after]

    def life(self, number):
        try:
            for verb in LIFE:
                if verb == "delete":
                    self.await_end()
                self.peers[verb].run(number)
        except BaseException:
            quiet(*self.command, "delete", "--force", f"{self.prefix}-{number}")
            raise

    def await_end(self):
        """The killed program takes a moment; that is not the runtime's time."""
        stat = pathlib.Path(f"/proc/{self.pid_file.read_text()}/stat")
        try:
            while stat.read_text().rsplit(")", 1)[1].split()[0] != "Z":
                time.sleep(0.001)
        except FileNotFoundError:
            pass

    def make_many(self):
        """A hundred that wait for start. Says how the last compare with the first."""
        times = []
        for number in range(MANY):
            container = f"{self.prefix}-many-{number}"
            self.many.append(container)
            peer = Peer(self.name, self.words("create", container))
            peer.run(0)
            times.append(peer.samples[0]["cpu_ms"])
        first, last = statistics.median(times[:20]), statistics.median(times[-20:])
        print(f"  {self.name}: create, CPU median of the first 20 of {MANY}: {first:.2f} ms, of the last 20: {last:.2f} ms")

    def tries(self, bundle):
        """Whether `run` of a bundle works."""
        try:
            quiet(*self.command, "run", "--bundle", bundle, f"{self.prefix}-tight")
        except Failed as error:
            print(f"  {self.name:24}does not start: {str(error)[-120:]}")
            return False
        print(f"  {self.name:24}starts")
        return True

    def figure(self, verb, key, of):
        return self.peers[verb].figure(key, of)

    def forget(self):
        for peer in self.peers.values():
            peer.samples.clear()

    def close(self):
        for container in self.many:
            try:
                quiet(*self.command, "delete", "--force", container)
            except Failed as error:
                print(f"  left behind: {error}")
