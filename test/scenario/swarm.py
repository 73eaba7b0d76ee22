"""A fleet in one process (test/tools/swarm.c), which loses its relay.

    bench = Bench(world, 50); bench.build(); bench.start()
    bench.failover(); bench.restart(); bench.sweep(); bench.result()

Machines of the swarm have two routes, by relay edge-a and by edge-b, and a link
to each.  A machine of its own, "probe", is behind a third relay, which nobody
harms: one health check a second and one 1 KiB line of output a second run there,
and how late they are is the live delay.  Five short lines a second come from there,
too, and /readyz is asked twenty times a second (watch.py).
"""
import http.client
import json
import os
import pathlib
import resource
import ssl
import subprocess
import sys
import threading
import time

from faults import TOOLS
from harness import LINK_TIMERS, wait_until

EDGES = ("edge-a", "edge-b")
LINE = 1024
CHATTY = 'while :; do date +%s.%N; sleep 0.2; done'
PER_SWARM = 2000  # machines of one process: each has several files open
TICKS = os.sysconf("SC_CLK_TCK")


def raise_file_limit():
    """As far as we may; the relays' and swarms', too."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Api:
    """One connection to the server's HTTP API, kept open."""

    def __init__(self, world):
        self.world, self.connection = world, None
        self.key = world.key()

    def get(self, path):
        return self.ask("GET", path, 200)

    def ask(self, method, path, status, body=None):
        headers = {"Authorization": f"Bearer {self.key}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        while True:
            if self.connection is None:
                self.connection = http.client.HTTPSConnection(
                    "127.0.0.1", self.world.http, timeout=60,
                    context=ssl._create_unverified_context())
            try:
                self.connection.request(method, path, body, headers)
                answer = self.connection.getresponse()
                text = answer.read().decode()
                assert answer.status == status, text
                return json.loads(text)
            except (http.client.RemoteDisconnected, ConnectionResetError):
                self.connection = None

    def machines(self):
        rows, more = [], ""
        while more is not None:
            page = self.get(f"/api/v1/machines?limit=500{more}")
            rows += page["items"]
            more = page.get("next") and f"&cursor={page['next']}"
        return rows

    def presence(self):
        return self.get("/api/v1/status")["presence"]


class Watches:
    """How late /readyz and many lines of a log are (watch.py), all the
    while."""

    def __init__(self, world):
        self.world, self.files, self.children = world, {}, []

    def start(self, what, *words, **more):
        self.files[what] = self.world.directory / f"{what}.late"
        self.children.append(subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable,
             str(pathlib.Path(__file__).with_name("watch.py")), what,
             *[str(w) for w in words], str(self.files[what])], **more))

    def readyz(self):
        self.start("readyz", self.world.http)

    def lines(self, machine):
        """Five a second, of a script there."""
        task = self.world.start_run(CHATTY, "-m", machine)
        log = self.world.open_cli("task", "log", task, "--follow")
        self.start("lines", stdin=log.stdout)

    def late(self, what, since=0.0):
        """Sorted."""
        rows = [line.split() for line in self.files[what].read_text(
            encoding="ascii").splitlines()]
        return sorted(float(row[1]) for row in rows
                      if len(row) == 2 and float(row[0]) >= since)

    def p99(self, what, since=0.0):
        late = self.late(what, since)
        return late[-1 - len(late) // 100]

    def end(self):
        for child in self.children:
            child.kill()
            child.wait()


class Probe:
    """How late the live traffic of one machine is, all the while."""

    def __init__(self, world, name, api):
        self.world, self.name, self.api = world, name, api
        self.late = []  # (when, what, seconds)
        self.checks = []  # (begun, ended, task)
        self.ended, self.broken = threading.Event(), None
        pad = "x" * (LINE - 21)
        task = world.start_run(
            f'while :; do echo "$(date +%s.%N) {pad}"; sleep 1; done',
            "-m", name)
        self.log = world.open_cli("task", "log", task, "--follow")
        self.threads = [threading.Thread(target=f, daemon=True)
                        for f in (self.read_lines, self.check)]
        for thread in self.threads:
            thread.start()

    def note(self, what, seconds):
        self.late.append((time.time(), what, seconds))

    def read_lines(self):
        for line in self.log.stdout:
            stamp = line.split("|", 1)[-1].split()
            if stamp and len(line) >= LINE:
                self.note("line", time.time() - float(stamp[0]))

    def check(self):
        while not self.ended.is_set():
            began = time.time()
            done = self.world.cli("health", "run", self.name, code=None)
            # An exception in a thread would be lost.
            self.broken = self.broken or (done if done.code else None)
            ended = time.time()
            self.note("check", ended - began)
            self.checks.append((began, ended, done.err.split()[:1]))
            self.ended.wait(max(0, began + 1 - time.time()))

    def wait_for_lines(self, since, count=2):
        wait_until(lambda: len([1 for at, what, _ in list(self.late)
                                if what == "line" and at > since]) >= count,
                   "lines of the probe", 60)

    def worst(self, since, until, what):
        """Also what has not come yet is late."""
        seen = [s for at, w, s in list(self.late)
                if w == what and at - s <= until and at >= since]
        last = max([at - s for at, w, s in list(self.late) if w == what],
                   default=since)
        return max(seen + [until - last - 1, 0.0])

    def parts_of_worst_check(self, since):
        """Where its time went, one after the other."""
        began, ended, task = max(
            (c for c in list(self.checks) if c[1] >= since and c[2]),
            key=lambda c: c[1] - c[0])
        row = self.api.get(f"/api/v1/tasks/{task[0]}")
        run = self.api.get(f"/api/v1/tasks/{task[0]}/runs")["items"][0]
        times = [began, row["created_ms"] / 1000, run["starting_ms"] / 1000,
                 run["ended_ms"] / 1000, row["ended_ms"] / 1000, ended]
        names = ["until the task was there", "until its check began",
                 "the check", "until the task had ended", "until it was told"]
        return [(name, b - a) for name, a, b in zip(names, times, times[1:])]

    def end(self):
        self.ended.set()
        self.threads[1].join(60)
        self.log.kill()
        assert self.broken is None, self.broken


class Bench:
    """timers {}: those of a real installation.  directory: of the swarm's
    state; what a thousand machines sync to one disk is not the question."""

    def __init__(self, world, count, timers=None, directory=None,
                 say=lambda text: None):
        self.world, self.count, self.timers, self.say = (
            world, count, timers, say)
        self.dir = directory or world.directory / "swarm"
        self.rss, self.figures = {}, {}
        self.swarms, self.probe, self.api = {}, None, None
        self.watches = Watches(world)

    # --- Making ---------------------------------------------------------

    def build(self):
        w = self.world
        began = time.monotonic()
        raise_file_limit()
        # Checks come when a machine is back, hardly ever by the clock.
        w.server(timers=self.timers, settings={
            "health.interval": "5m",
            "fleet.standing": max(10000, 2 * self.count)})
        self.api = Api(w)
        for name in EDGES:
            w.relay(name, dialled=True, timers=self.timers)
        w.relay("edge-c", timers=self.timers)
        w.tentacle("probe", via="edge-c", timers=self.timers)
        token = w.office / "swarm.token"
        w.cli("token", "create", "--out", token, "--uses", self.count,
              "-e", "prod", *[x for name in EDGES for x in ("--route", name)])
        self.say(f"server, three relays, a probe: "
                 f"{time.monotonic() - began:.1f} s")
        began = time.monotonic()
        joined = subprocess.run(
            [str(TOOLS / "swarm"), "join", str(self.dir), str(self.count),
             str(token), w.upstream(None)], capture_output=True, text=True,
            timeout=60 + self.count // 4, check=False)
        assert joined.returncode == 0, joined.stderr[-4000:]
        self.took("enrolment", began)

    def took(self, name, began):
        self.figures[name] = time.monotonic() - began
        self.say(f"{name} of {self.count}: {self.figures[name]:.1f} s")

    def start(self):
        began, wall = time.monotonic(), time.time()
        timers = LINK_TIMERS if self.timers is None else self.timers
        times = [f"{k.split('.')[1]}={int(self.milliseconds(v))}"
                 for k, v in timers.items()]
        self.watches.readyz()
        for first in range(1, self.count + 1, PER_SWARM):
            count = min(PER_SWARM, self.count - first + 1)
            self.swarms[f"swarm-{first}"] = self.world.spawn(
                f"swarm-{first}",
                [str(TOOLS / "swarm"), "run", str(self.dir), str(count),
                 f"first={first}"] + times)
        self.wait_for_all(wall, 120 + self.count / 20)
        self.took("first connection", began)
        for edge in EDGES:
            self.wait_for_links(edge)
        self.took("both links", began)
        # Some came by the second relay first: now all go by the first.
        self.world.relays["edge-b"].restart()
        self.wait_for_links("edge-b")
        self.took("all by the first", began)
        self.probe = Probe(self.world, "probe", self.api)
        self.watches.lines("probe")
        self.probe.wait_for_lines(time.time())

    @staticmethod
    def milliseconds(text):
        return (float(text[:-2]) if text.endswith("ms")
                else float(text[:-1]) * 1000)

    # --- Watching -------------------------------------------------------

    def programs(self):
        return {"server": self.world.server_process, **self.world.relays,
                **self.swarms}

    def look_at_memory(self):
        """The most that each program has ever held."""
        for name, process in self.programs().items():
            try:
                with open(f"/proc/{process.child.pid}/status",
                          encoding="ascii") as f:
                    for line in f:
                        if line.startswith("VmHWM:"):
                            self.rss[name] = max(
                                self.rss.get(name, 0),
                                int(line.split()[1]) * 1024)
            except (OSError, AttributeError):
                pass

    def wait_for_all(self, since, limit):
        """All of them online, and each has answered a check after `since`:
        on a seal that was opened after the loss, as the one before is gone."""
        end, told = time.monotonic() + limit, 0.0
        while True:
            assert all(p.is_running() for p in self.swarms.values()), (
                "a swarm has ended")
            began = time.monotonic()
            rows = [m for m in self.api.machines() if m["name"] != "probe"]
            online = sum(m["presence"] == "online" for m in rows)
            missing = [m for m in rows if m["presence"] != "online"
                       or m["health_at_ms"] <= since * 1000
                       or m["health"] not in ("healthy", "warnings")]
            checked = len(rows) - len(missing)
            self.look_at_memory()
            if checked == self.count:
                return
            assert time.monotonic() < end, (
                f"{online} online, {checked} checked of {self.count} "
                f"in {limit} s", [
                    (m["name"], m["presence"], m["presence_text"],
                     m["health"], m["health_text"], m["health_at_ms"])
                    for m in missing[:3]])
            if time.monotonic() > told + 2:
                told = time.monotonic()
                self.say(f"  {time.time() - since:5.1f} s: {online} online, "
                         f"{checked} checked")
            # Who looks all the time measures himself.
            time.sleep(max(0.2, 6 * (time.monotonic() - began)))

    def wait_for_links(self, edge):
        port = f":{self.world.relays[edge].port:04X}"

        def linked():
            with open("/proc/net/tcp", encoding="ascii") as f:
                words = [line.split() for line in f]
            return sum(w[1].endswith(port) and w[3] == "01"
                       for w in words) > self.count  # and the server's

        def stays_linked():
            began = time.monotonic()
            if linked():
                time.sleep(1)
                return linked()
            time.sleep(0.2)
            return False
        # Who has dialled in vain waits for up to a minute.
        wait_until(stays_linked, f"links to {edge}", 150 + self.count / 20)

    # --- The losses -----------------------------------------------------

    def cpu(self):
        """Seconds that each program has used; on a busy host they say more
        than the clock."""
        used = {}
        for name, process in self.programs().items():
            try:
                with open(f"/proc/{process.child.pid}/stat",
                          encoding="ascii") as f:
                    words = f.read().rsplit(")", 1)[1].split()
                used[name, process.child.pid] = (
                    int(words[11]) + int(words[12])) / TICKS
            except (OSError, AttributeError):
                pass
        return used

    def failover(self):
        """The relay that all of them are reached by dies for good."""
        self.lose("failover", self.world.relays["edge-a"].kill)

    def restart(self):
        """The one that is left dies, and is started again at once."""
        self.lose("restart", self.world.relays["edge-b"].restart)

    def lose(self, name, deed):
        self.look_at_memory()
        wall, began, before = time.time(), time.monotonic(), self.cpu()
        deed()
        self.wait_for_all(wall, 150 + self.count / 20)
        self.took(name, began)
        self.probe.wait_for_lines(time.time())
        self.tell_late(wall, before)
        until = time.time()
        for what in ("check", "line"):
            late = self.probe.worst(wall, until, what)
            self.figures[f"{name} {what}"] = late
            self.say(f"  latest {what} meanwhile: {late:.2f} s")
        self.say("  of that check: " + ", ".join(
            f"{seconds:.2f} s {part}"
            for part, seconds in self.probe.parts_of_worst_check(wall)))

    def sweep(self):
        """A health check of all of them, by one command."""
        wall, began, before = time.time(), time.monotonic(), self.cpu()
        done = self.world.call(["longarm", "health", "run"],
                               timeout=60 + self.count / 20)
        assert done.code == 0, (done.code, done.err[-4000:])
        self.took("sweep", began)
        self.tell_late(wall, before)

    def tell_late(self, since, before):
        """What was asked of the programs since then, and how late it was."""
        self.say("  seconds of CPU: " + ", ".join(
            f"{key[0]} {seconds - before.get(key, 0):.1f}"
            for key, seconds in self.cpu().items()))
        for what in self.watches.files:
            late = self.watches.late(what, since)
            if late:
                self.say(f"  {what}: p50 {late[len(late) // 2]:.3f} s, p99 "
                         f"{self.watches.p99(what, since):.3f} s, latest "
                         f"{late[-1]:.3f} s of {len(late)}")

    def result(self):
        f = self.figures
        self.look_at_memory()
        self.say("MB held at most: " + ", ".join(
            f"{name} {size / 1e6:.0f}" for name, size in self.rss.items()))
        self.probe.end()
        self.watches.end()
        return {
            "tentacles": self.count,
            "reconverge_failover_seconds": round(f["failover"], 2),
            "reconverge_restart_seconds": round(f["restart"], 2),
            "reconverge_seconds": round(max(f["failover"], f["restart"]), 2),
            "live_delay_max_seconds": round(
                max(f[f"{name} {what}"] for name in ("failover", "restart")
                    for what in ("check", "line")), 3),
            "relay_rss_bytes": max(
                self.rss[name] for name in self.world.relays),
            "server_rss_bytes": self.rss["server"],
            "sweep_seconds": round(f["sweep"], 2),
            "readyz_p99_ms": round(self.watches.p99("readyz") * 1000, 1),
            "log_delay_p99_ms": round(self.watches.p99("lines") * 1000, 1),
        }
