"""What happens to a world: processes killed, links cut and paused.

    harm = Harm(world, rng, proxies)
    harm.tick()      # again and again; does what is due
    harm.end()       # no faults any more

Which, whom and when comes from the seed alone; what it finds (which scripts
run at that moment) does not.
"""
import os
import signal
import time

from history import Hit
from processes import (children, guardians, kill_guardian, of_session,
                       who_is)

ROLES = ("server", "relay", "tentacle", "supervisor", "shim")
# How often each is chosen, of all kills.  both: both guardians of one script;
# machine: all that runs there, as a power loss does.
WEIGHTS = {"server": 7, "relay": 10, "tentacle": 22, "supervisor": 17,
           "shim": 17, "both": 3, "script": 3, "machine": 3}
SERVER_GAP = 3.0     # it needs a moment to be of use between two kills
KILL_GAP = (0.1, 0.7)
LINK_GAP = (0.3, 1.5)
POINT_GAP = (0.1, 0.7)
# Where a program is stopped before it is killed, so that short moments are hit
# as well (test/failing/failing.h), and how often each.
WHERE = {"tentacle": 2, "guardian": 5, "server": 2}
POINTS = {
    "tentacle": {"ticket.spec-written": 1, "ticket.accepted": 1,
                 "ticket.answered": 1, "script.marked": 1, "script.guarded": 1,
                 "script.over": 1, "result.recorded": 1},
    "guardian": {"guardian.recording": 4, "shim.ended": 1, "shim.recorded": 1,
                 "supervisor.ready": 1, "shim.ready": 1, "script.begun": 1},
    # An answer that is not kept is asked for again.
    "server": {"start.answered": 4, "start.committed": 1, "start.sent": 1,
               "result.received": 1, "result.committed": 1,
               "task.committed": 1, "log.synced": 1}}
POINT_WAIT = 3.0
POINTS_MAX = 6       # at once


class Point:
    """One that somebody will be killed at."""

    def __init__(self, world, where, name):
        self.where, self.name = where, name
        self.points = world.fail(where)
        self.points.set(name, "pause")
        self.until = time.monotonic() + POINT_WAIT

    def pid(self):
        """Of who stopped there; 0: nobody yet."""
        try:
            return int(self.points.path(f"{self.name}.reached").read_text())
        except (OSError, ValueError):
            return 0

    def clear(self):
        self.points.clear(self.name, f"{self.name}.reached")


class Harm:
    def __init__(self, world, rng, proxies):
        self.world, self.rng, self.proxies = world, rng, proxies
        self.hits = []
        self.kills = 0
        self.kills_by_role = dict.fromkeys(ROLES, 0)
        self.kills_during_run = 0
        self.undo = []             # (when, what)
        self.points = []
        self.ended = []            # (program, exit code): by itself
        self.next_kill = self.next_link = self.next_point = 0.0
        self.server_again = 0.0

    # --- Book-keeping ------------------------------------------------------

    def hit(self, role, running, machine="", ticket="", name=""):
        self.hits.append(Hit(role, machine, ticket, name))
        if role not in self.kills_by_role:
            return
        self.kills += 1
        self.kills_by_role[role] += 1
        self.kills_during_run += bool(running)

    def scan(self):
        return guardians(self.world.directory)

    # --- Kills -------------------------------------------------------------

    def server(self):
        if time.monotonic() < self.server_again:
            self.tentacle()
            return
        self.server_again = time.monotonic() + SERVER_GAP
        self.hit("server", self.scan())
        self.world.server_process.restart()

    def relay(self):
        name = self.rng.choice(sorted(self.world.relays))
        self.hit("relay", self.scan(), name)
        self.world.relays[name].restart()

    def busy(self):
        """Machines with a script, or all when there is none."""
        names = sorted({g.machine for g in self.scan()})
        return names or sorted(self.world.machines)

    def tentacle(self, name=None, whole=False):
        name = name or self.rng.choice(
            self.busy() if self.rng.random() < 0.7
            else sorted(self.world.machines))
        running = [g for g in self.scan() if g.machine == name]
        self.hit("tentacle", running, name)
        process = self.world.machines[name].process
        pids = of_session(process.child.pid)
        if not whole and pids:
            # It may be more than one process: the others see to it.
            pids = [self.rng.choice(pids)]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if process.child.pid in pids:
            process.child.wait()
            process.start()

    def guardian(self, role):
        found = [g for g in self.scan() if g.role == role]
        if found:
            self.kill(self.rng.choice(found))

    def supervisor(self):
        self.guardian("supervisor")

    def shim(self):
        self.guardian("shim")

    def kill(self, guardian):
        if kill_guardian(guardian, self.world.directory):
            self.hit(guardian.role, True, guardian.machine, guardian.ticket,
                     guardian.name)

    def both(self):
        found = self.scan()
        if found:
            ticket = self.rng.choice(sorted({g.ticket for g in found}))
            for g in found:
                if g.ticket == ticket:
                    self.kill(g)

    def script(self):
        shims = [g for g in self.scan() if g.role == "shim"]
        if shims:
            self.kill_scripts([self.rng.choice(shims)])

    def kill_scripts(self, parents):
        """All of their sessions, as the kernel does it to whom it dislikes."""
        for g in parents:
            for pid in children(g.pid):
                self.hit("script", True, g.machine, g.ticket, g.name)
                try:
                    # Each leads a session and a group of its own.
                    if os.getpgid(pid) == pid:
                        os.killpg(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def machine(self):
        name = self.rng.choice(self.busy())
        found = [g for g in self.scan() if g.machine == name]
        self.kill_scripts([g for g in found if g.role == "shim"])
        for g in found:
            self.kill(g)
        self.tentacle(name, whole=True)

    # --- Kills at a point --------------------------------------------------

    def point(self):
        """Somewhere, somebody will stop at a point, and be killed there."""
        [role] = self.rng.choices(list(WHERE), WHERE.values())
        where = "server" if role == "server" else self.rng.choice(self.busy())
        [name] = self.rng.choices(list(POINTS[role]), POINTS[role].values())
        if len(self.points) < POINTS_MAX and where not in [
                p.where for p in self.points]:
            self.points.append(Point(self.world, where, name))

    def look_at_points(self):
        for point in list(self.points):
            pid = point.pid()
            if pid:
                self.kill_at(point.where, pid)
            if pid or time.monotonic() >= point.until:
                self.points.remove(point)
                point.clear()

    def kill_at(self, where, pid):
        guardian = who_is(pid, self.world.directory)
        if guardian is not None:
            self.kill(guardian)
        elif where == "server":
            self.server_again = 0.0
            self.server()
        elif pid in of_session(self.world.machines[where].process.child.pid):
            self.tentacle(where)

    # --- Links -------------------------------------------------------------

    def later(self, seconds, what):
        self.undo.append((time.monotonic() + seconds, what))

    def link(self):
        proxy = self.rng.choice(self.proxies)
        word = self.rng.choice(["up", "down"])
        harm = self.rng.choice(["reset", "close", "pause", "deaf", "deaf",
                                "cut", "freeze", "hold"])
        seconds = self.rng.uniform(0.1, 2.0)
        if harm in ("reset", "close"):
            proxy.tell(harm)
        elif harm == "pause":
            proxy.tell("pause")
            self.later(seconds, lambda: proxy.tell("resume"))
        elif harm == "deaf":
            # Orders arrive and nobody hears the answers; then it is cut.
            proxy.tell(f"pause {word}")
            self.later(seconds / 2, lambda: (proxy.tell("reset"),
                                             proxy.tell("resume")))
        elif harm in ("cut", "freeze"):
            proxy.tell(f"{harm} {word} {self.rng.randrange(1, 8000)}")
            self.later(2.5, lambda: (proxy.tell("pass"), proxy.tell("close")))
        else:
            proxy.tell(f"hold {word} {self.rng.randrange(1, 2000)}")
            self.later(seconds, lambda: proxy.tell("pass"))

    # --- Time --------------------------------------------------------------

    def tick(self):
        now = time.monotonic()
        for when, what in [u for u in self.undo if u[0] <= now]:
            self.undo.remove((when, what))
            what()
        self.revive()
        self.look_at_points()
        if now >= self.next_point:
            self.next_point = now + self.rng.uniform(*POINT_GAP)
            self.point()
        if now >= self.next_link:
            self.next_link = now + self.rng.uniform(*LINK_GAP)
            self.link()
        if now >= self.next_kill:
            self.next_kill = now + self.rng.uniform(*KILL_GAP)
            [role] = self.rng.choices(list(WEIGHTS), WEIGHTS.values())
            getattr(self, role)()

    def processes(self):
        return [self.world.server_process, *self.world.relays.values(),
                *(m.process for m in self.world.machines.values())]

    def revive(self):
        """A service manager does so with those that end by themselves."""
        for process in self.processes():
            if not process.is_running():
                self.ended.append((process.log.stem,
                                   process.child.returncode))
                process.start()

    def end(self):
        for point in self.points:
            point.clear()
        self.points = []
        for _, what in self.undo:
            what()
        self.undo = []
        for proxy in self.proxies:
            proxy.tell("pass")
            proxy.tell("resume")
            proxy.tell("close")
        self.revive()
