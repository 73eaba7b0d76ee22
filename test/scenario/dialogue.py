"""A whole dialogue of machines, each behind a proxy of its own: enrol, health,
a script, a package.  Whatever a proxy does once in between, the outcome is the
same; Lane.check() says what that is.
"""
from concurrent.futures import ThreadPoolExecutor

from faults import Proxy
from harness import (LINK_TIMERS, SLOW, TENTACLE_TIMERS, Machine, flags,
                     free_port, wait_until)

PROCESS = """
project: shop
package: site
steps:
  - name: install
    roles: [web]
    deploy: site
    after: echo activated >>"$HOME/activated"
"""
SCRIPT = ('echo ran >>"$HOME/marker"; sleep 0.2; '
          'i=0; while [ $i -lt 200 ]; do echo "line $i of the output"; '
          'i=$((i+1)); done; echo last')
PAGE = "".join(f"{i} of a page that is not all alike\n" for i in range(600))
# Connected again within 5 s, whatever broke.
BACK_MS = 5000
# A handshake that hangs is given up after so long; a tenth, as the others.
TIMERS = LINK_TIMERS | {"link.handshake": "1s"}


class Way:
    """How the machines of a dialogue are reached."""

    def __init__(self, name, via, dialled=False):
        self.name, self.via, self.dialled = name, via, dialled


class Lane:
    """One machine behind a proxy: what it says to whom it dials (enrolment
    included), or what is said by who dials it."""

    def __init__(self, world, name, way):
        self.world, self.name, self.way = world, name, way
        self.machine = Machine(world, name, free_port())
        self.machine.home.mkdir()
        self.upstream = world.upstream(way.via)
        self.proxy = Proxy(world, self.machine.address() if way.dialled
                           else self.upstream)
        self.token = world.token(name, "-e", "prod", "-r", "web")
        self.joins = 0

    def join(self):
        words = ["longarm-tentacle", "join", "--state",
                 str(self.machine.state), "--token-file", str(self.token),
                 "--timeout", "3s"]
        if self.way.dialled:
            words += ["--advertise", self.proxy.address, self.upstream]
        else:
            words += [self.proxy.address]
        while True:
            self.joins += 1
            joined = self.world.call(words + flags(TIMERS))
            if joined.code == 0:
                return
            # One harm, one repeat; and it says what happened.
            assert self.joins < 3 and joined.err.strip(), joined

    def run(self):
        listen = ["--listen", self.machine.address()] \
            if self.way.dialled else []
        self.machine.process = self.world.spawn(self.name, [
            "longarm-tentacle", "run", "--state", str(self.machine.state)]
            + listen
            + flags({"tentacle.apps": self.machine.apps,
                     "tentacle.home": self.machine.home} | TENTACLE_TIMERS
                    | TIMERS))

    def check(self, what):
        """Everything once; and connected again, soon."""
        machine = self.machine
        assert machine.lines("marker") == ["ran"], (self.name, what)
        assert machine.lines("activated") == ["activated"], (self.name, what)
        live = machine.apps / "shop" / "site" / "current" / "index.html"
        assert live.read_text() == PAGE, (self.name, what)
        if self.proxy.stat()["trips"] == 0:
            return
        wait_until(lambda: self.proxy.stat()["back_ms"] >= 0,
                   f"{self.name} back after {what}", BACK_MS / 1000)
        assert self.proxy.stat()["back_ms"] <= BACK_MS * SLOW, (
            self.name, what)

    def end(self):
        self.machine.process.end()
        self.proxy.end()
        self.world.processes.remove(self.machine.process)
        self.world.processes.remove(self.proxy)
        self.world.cli("machine", "remove", self.name)


def prepare(world):
    world.project(PROCESS)
    world.package("site", "1.0", {"index.html": PAGE})
    world.release("1.0", "site=1.0")


def _online(world, lanes):
    rows = {r["name"]: r for r in world.json("machine", "list")}
    return all(rows[lane.name]["presence"] == "online" for lane in lanes)


def hold(world, lanes, marks=None):
    """The dialogue with all lanes at once.  marks(step): after each step."""
    mark = marks or (lambda step: None)
    with ThreadPoolExecutor(len(lanes)) as pool:
        list(pool.map(Lane.join, lanes))
        mark("enrol")
        for lane in lanes:
            lane.run()
        wait_until(lambda: _online(world, lanes), "all lanes", 15)
        mark("link")
        world.cli("health", "run")
        mark("health")
        ran = world.cli("run", "--all", "--", SCRIPT)
        for lane in lanes:
            said = [line for line in ran.lines() if lane.name in line] \
                if len(lanes) > 1 else ran.lines()
            assert len(said) >= 201 and any(
                line.endswith("last") for line in said), ran
        mark("script")
        world.cli("deploy", "shop", "--release", "1.0", "--to", "prod",
                  "--wait")
        mark("package")


def measure(world, way):
    """[(step, bytes up, bytes down)], cumulative, of a quiet dialogue."""
    lane = Lane(world, f"{way.name}-quiet", way)
    steps = []

    def mark(step):
        stat = lane.proxy.stat()
        steps.append((step, stat["up"], stat["down"]))
    hold(world, [lane], mark)
    lane.check("nothing")
    assert lane.joins == 1
    lane.end()
    return steps


def places(steps, count):
    """[(direction, byte)]: count in each direction of each step, spread
    evenly, so that short steps are hit as often as long ones."""
    found, before = [], (0, 0)
    for _, up, down in steps:
        for word, low, high in (("up", before[0], up),
                                ("down", before[1], down)):
            if high > low:
                found += [(word, low + (high - low) * (2 * i + 1)
                           // (2 * count)) for i in range(count)]
        before = up, down
    return found


def sweep(world, harms, lanes_at_once=15):
    """harms: [(way, command for its proxy)], each in a lane of its own; the
    lanes' last stat()s."""
    stats = []
    for first in range(0, len(harms), lanes_at_once):
        part = harms[first:first + lanes_at_once]
        lanes = [Lane(world, f"{way.name}-{harm.split()[0]}-{first + i}",
                      way) for i, (way, harm) in enumerate(part)]
        for lane, (_, harm) in zip(lanes, part):
            lane.proxy.tell(harm)
        hold(world, lanes)
        for lane, (_, harm) in zip(lanes, part):
            lane.check(harm)
            stats.append(lane.proxy.stat())
            lane.end()
    return stats
