"""The rows of the table of figures.  Each measures all who take part, one after the
other, once a round; and says what ratios that makes.

    row = ROWS["bulk"](place, options); row.open(); row.round(); row.close()

round() gives ({who: {what: number}}, {key of figures.TARGETS: ratio}).
"""
import shlex
import statistics
import subprocess
import time

import figures
import peers
from place import (FAR, LINE_FAR, LINE_NEAR, NEAR, NotHere, memory_kb)


class Row:
    """runs: seconds of one measurement."""

    def __init__(self, place, seconds):
        self.place, self.seconds = place, seconds
        self.there, self.missing = [], {}

    def times(self, warm=0.5, seconds=None):
        run = self.seconds if seconds is None else seconds
        return f"warm_ms={int(warm * 1000)}", f"run_ms={int(run * 1000)}"

    def add(self, make, *words):
        """Take part, unless it is not installed here."""
        name = getattr(make, "name", "it")
        try:
            if hasattr(make, "version"):
                make.version()
            one = make(self.place, *words)
            self.there.append(one)
            return one
        except (NotHere, RuntimeError, OSError) as e:
            self.missing[name] = str(e)
            return None

    def close(self):
        for one in self.there:
            one.close()


def aes_floor(place):
    """CPU seconds to decrypt and to encrypt one GB, in records of 16 KiB."""
    seconds = 0.0
    for words in ([], ["-decrypt"]):
        argv = place.pinned(["openssl", "speed", "-elapsed", "-mr", "-seconds",
                             "1", "-bytes", "16384", *words, "-evp",
                             "aes-128-gcm"])
        # Without -elapsed it is CPU that counts; a busy machine changes that.
        argv.remove("-elapsed")
        place.note(argv)
        out = place.check(argv)
        rate = [line for line in out.splitlines() if line.startswith("+F:")]
        seconds += 1e9 / float(rate[0].split(":")[-1])
    return seconds


class Bulk(Row):
    """One stream, full frames, as fast as it goes."""

    def open(self):
        self.relay = self.add(peers.Relay)
        self.haproxy = self.add(peers.Haproxy)
        self.add(peers.Nginx)
        self.add(peers.Stunnel)

    def round(self):
        # Two streams: what one may be granted at once is 2 GB.
        found = {one.name: figures.load(one.load(
            f"bulk={2 if one is self.relay else 1}", "discard=1",
            *self.times())) for one in self.there}
        floor = aes_floor(self.place)
        found["openssl_speed"] = {"cpu_s_per_gb": round(floor, 3)}
        ours, ratios = found["longarm"], {}
        ratios["bulk_cpu_per_gb_vs_aes_floor"] = ours["cpu_s_per_gb"] / floor
        if self.haproxy:
            theirs = found["haproxy"]
            ratios["bulk_throughput_vs_haproxy"] = ours["mb_s"] / theirs["mb_s"]
            ratios["bulk_cpu_per_gb_vs_haproxy"] = (
                ours["cpu_s_per_gb"] / theirs["cpu_s_per_gb"])
        return found, ratios


class Small(Row):
    """One stream in frames of 1 KiB, 16 to a record; haproxy knows no frames and
    gets the same records."""

    def open(self):
        self.relay = self.add(peers.Relay)
        self.haproxy = self.add(peers.Haproxy)

    def round(self):
        found = {"longarm": figures.load(self.relay.load(
            "bulk=2", "frame=1024", "discard=1", *self.times()))}
        if not self.haproxy:
            return found, {}
        found["haproxy"] = figures.load(
            self.haproxy.load("bulk=1", "discard=1", *self.times()))
        return found, {"small_frames_throughput_vs_haproxy":
                       found["longarm"]["mb_s"] / found["haproxy"]["mb_s"]}


def both(raw):
    return figures.latency(raw["pings_us"]) | {
        "mb_s": round(raw["bytes"] / raw["us"], 1)}


class UnderBulk(Row):
    """Requests of 64 bytes, 200 a second, beside bulk on the same connection,
    through a bottleneck behind the relay; OpenSSH's multiplexing likewise."""

    rate, key = None, None

    def open(self):
        self.far = self.place.far_network()
        self.relay = self.add(peers.Relay)
        self.ssh = self.add(peers.Ssh, self.far, FAR)
        if self.ssh:
            self.ssh.open_masters(1)

    def round(self):
        self.place.shape(self.rate)
        try:
            found = {"longarm": both(self.relay.load(
                f"far_ns={self.place.file(self.far)}",
                f"far={NEAR}:{self.relay.port}", "bulk=1", "ping_us=5000",
                *self.times(1.5)))}
            if not self.ssh:
                return found, {}
            to = shlex.join(self.ssh.ssh("web-1"))
            found["ssh"] = both(self.place.load(
                "bench_tcp", f"bulk_sh=exec {to} 'cat >/dev/null'",
                f"ping_sh=exec {to} cat", "bulk=1", "ping_us=5000",
                *self.times(1.5)))
            return found, {
                self.key: found["longarm"]["p99_ms"] / found["ssh"]["p99_ms"]}
        finally:
            self.place.shape(None)


class UnderBulk100(UnderBulk):
    """Health requests beside bulk through 100 Mbit/s."""

    rate, key = "100mbit", "health_p99_under_bulk_vs_ssh_mux_100mbit"


class UnderBulk1000(UnderBulk):
    """Health requests beside bulk through 1 Gbit/s."""

    rate, key = "1gbit", "health_p99_under_bulk_vs_ssh_mux_1gbit"


class Unshaped(Row):
    """The same without a bottleneck but the processor; haproxy, tuned for latency,
    has the requests on a connection of their own."""

    def open(self):
        self.relay = self.add(peers.Relay)
        self.haproxy = self.add(peers.QuickHaproxy)

    def round(self):
        words = ("bulk=1", "ping_us=5000", *self.times())
        found = {"longarm": both(self.relay.load(*words))}
        if not self.haproxy:
            return found, {}
        found[self.haproxy.name] = both(self.haproxy.load(*words))
        return found, {"health_p99_under_bulk_vs_haproxy_lowlatency":
                       found["longarm"]["p99_ms"]
                       / found[self.haproxy.name]["p99_ms"]}


class Share(Row):
    """What bulk keeps while 500 requests a second go by."""

    def open(self):
        self.relay = self.add(peers.Relay)

    def round(self):
        alone = self.relay.load("bulk=1", *self.times())
        beside = self.relay.load("bulk=1", "ping_us=2000", *self.times())
        found = {"alone": {"mb_s": round(alone["bytes"] / alone["us"], 1)},
                 "with_checks": both(beside)}
        return found, {"bulk_share_kept_under_health":
                       found["with_checks"]["mb_s"] / found["alone"]["mb_s"]}


class LongLine(Row):
    """One stream over 100 Mbit/s and 100 ms, and one plain TCP connection."""

    def open(self):
        self.far = self.place.long_line(
            delay_us=50000, rate=12500000, queue_bytes=1 << 20)
        self.relay = self.add(peers.Relay)
        self.sink = self.place.port()

    def round(self):
        ns = f"far_ns={self.place.file(self.far)}"
        times = self.times(4, 4)
        # What the kernel says of the relay's connection, while it works.
        watcher = subprocess.Popen(
            ["sh", "-c", f"sleep 6; ss -tin dst {LINE_FAR}"],
            stdout=subprocess.PIPE, text=True)
        ours = self.relay.load(ns, f"far={LINE_NEAR}:{self.relay.port}",
                               "bulk=1", *times)
        info = watcher.communicate()[0]
        plain = self.place.load(
            "bench_tcp", f"connect={LINE_FAR}:{self.sink}",
            f"listen={LINE_FAR}:{self.sink}", ns, "tls=0", "bulk=1", *times)
        least = [w[7:] for w in info.split() if w.startswith("minrtt:")]
        found = {
            "longarm": {"mb_s": round(ours["bytes"] / ours["us"], 2),
                        "min_rtt_ms": float(least[0]) if least else 0.0},
            "plain_tcp": {"mb_s": round(plain["bytes"] / plain["us"], 2),
                          "min_rtt_ms": plain["min_rtt_us"] / 1000,
                          "rtt_ms": plain["rtt_us"] / 1000}}
        return found, {"rtt100ms_stream_throughput_vs_plain_tcp":
                       found["longarm"]["mb_s"] / found["plain_tcp"]["mb_s"]}


IDLE = 3000


class Idle(Row):
    """Resident memory for each of 3,000 tentacles with an open stream that has
    carried a request, and for each of 3,000 relayed connections that have."""

    count = IDLE

    def open(self):
        peers.Haproxy.version()

    def grown(self, make, words):
        one = make(self.place)
        try:
            before = memory_kb(one.pid)
            with one.idle(words):
                time.sleep(0.5)
                return (memory_kb(one.pid) - before) / self.count
        finally:
            one.close()

    def round(self):
        ours = self.grown(peers.Relay, f"machines={self.count}")
        theirs = self.grown(peers.Haproxy, f"conns={self.count}")
        found = {"longarm": {"kb_each": round(ours, 2)},
                 "haproxy": {"kb_each": round(theirs, 2)}}
        return found, {"idle_tentacle_memory_vs_haproxy": ours / theirs}


class Reconnect(Row):
    """CPU of the relay for a full handshake on both sides: half of the machines
    dial it, and half are dialled by it; nginx accepts and dials for each
    connection."""

    pairs = 200

    def open(self):
        peers.Nginx.version()

    def spent(self, make, *words):
        # Fresh: a relay goes on to dial machines that are gone.
        one = make(self.place)
        try:
            with one.idle(*words) as child:
                child.stdin.close()
                raw = child.stdout.read()
            return figures.json.loads(raw)["links_cpu_ns"] / 1e6 / self.pairs
        finally:
            one.close()

    def round(self):
        ours = self.spent(peers.Relay, f"machines={2 * self.pairs}",
                          f"dialled={self.pairs}")
        theirs = self.spent(peers.Nginx, f"conns={self.pairs}")
        found = {"longarm": {"cpu_ms_per_pair": round(ours, 3)},
                 "nginx": {"cpu_ms_per_pair": round(theirs, 3)}}
        return found, {"reconnect_cpu_vs_nginx": ours / theirs}


class Sweep(Row):
    """All machines of a fleet: a health check of each, then `true` on each; by
    OpenSSH, `true` on each of fewer hosts by a master that was open before, as
    what that costs grows with the hosts.  Seconds for 1,000.  Real server, relay
    and agents; both cores are everybody's."""

    count, each, hosts, parallel, world = 1000, 50, 60, 20, None

    def open(self):
        # The scenario tests' own.
        import faults
        import harness
        import swarm as fleet
        self.world = harness.World(self.place.directory / "world")
        world = self.world
        world.server(timers={}, settings={"health.interval": "1h"})
        world.relay("dc2-a", timers={})
        token = world.office / "swarm.token"
        world.cli("token", "create", "--out", token, "--uses", self.count,
                  "-e", "prod", "--route", "dc2-a")
        swarm, state = faults.TOOLS / "swarm", self.place.directory / "swarm"
        self.place.check([swarm, "join", state, self.count, token,
                          world.upstream("dc2-a")])
        # A machine of its own does not wait for the syncs of 999 others.
        for first in range(1, self.count, self.each):
            self.place.start([swarm, "run", state, self.each, f"first={first}"],
                             "swarm.log")
        api = fleet.Api(world)
        harness.wait_until(
            lambda: sum(m["presence"] == "online" for m in api.machines())
            == self.count, "the fleet", 60)
        world.cli("health", "run", "-e", "prod")
        self.ssh = self.add(peers.Ssh, None, peers.HOST, False)
        if self.ssh:
            self.ssh.open_masters(self.hosts, False)

    @staticmethod
    def per_thousand(run, count, times):
        """Seconds; the median of a few."""
        taken = []
        for _ in range(times):
            began = time.monotonic()
            run()
            taken.append((time.monotonic() - began) / count * 1000)
        return statistics.median(taken)

    def ours(self, *words):
        self.place.note(["longarm", *words])
        self.world.cli(*words)

    def theirs(self):
        argv = ["xargs", "-P", str(self.parallel), "-I{}",
                *self.ssh.ssh("{}"), "true"]
        self.place.note(argv)
        done = subprocess.run(argv, input="\n".join(self.ssh.masters),
                              text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-300:])

    def round(self):
        health = self.per_thousand(
            lambda: self.ours("health", "run", "-e", "prod"), self.count, 2)
        ratios = {}
        found = {"longarm": {"health_s_per_1000": round(health, 3)}}
        if self.ssh:
            ssh = self.per_thousand(self.theirs, self.hosts, 3)
            found["ssh"] = {"true_s_per_1000": round(ssh, 3)}
            ratios["health_sweep_vs_ssh_controlmaster"] = ssh / health
        script = self.per_thousand(
            lambda: self.ours("run", "-e", "prod", "--", "true"),
            self.count, 1)
        found["longarm"]["script_s_per_1000"] = round(script, 3)
        if self.ssh:
            ratios["script_sweep_vs_ssh_controlmaster"] = ssh / script
        return found, ratios

    def close(self):
        super().close()
        if self.world is not None:
            self.world.close()


# Name: (row, seconds of one measurement)
ROWS = {
    "bulk": (Bulk, 2), "small": (Small, 2), "health100m": (UnderBulk100, 5),
    "health1g": (UnderBulk1000, 5), "unshaped": (Unshaped, 5),
    "share": (Share, 2), "rtt100ms": (LongLine, 4),
    "reconnect": (Reconnect, 0), "sweep": (Sweep, 0), "idle": (Idle, 0),
}
