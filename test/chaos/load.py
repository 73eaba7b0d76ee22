"""Steady new tasks: ad-hoc runs and deployments, some of them cancelled.

Each asks with an Idempotency-Key and goes on asking until it is answered, as a
careful client does; what it asked for is kept as a history.Wish.
"""
import http.client
import json
import ssl
import threading
import time

from history import Script, Wish

PROJECTS = 3
RELEASES = ("1.0", "1.1", "1.2")
# What the last step of a release says of being run again.
AGAIN = {"1.1": "rerun-safe: true", "1.2": "retries: 1"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def output_of(name, lines, width):
    """What test/tools/deed.c prints."""
    said = []
    for i in range(lines):
        line = f"{name} {i} "
        line += "".join(LETTERS[(at + i) % 26]
                        for at in range(len(line), width - 1))
        said.append(line + "\n")
    return "".join(said).encode()


class Deed:
    """A script: what it is to do, and its text."""

    def __init__(self, name, lines, width, ms, code):
        self.script = Script(name, output_of(name, lines, width), code)
        self.words = f"{name} {lines} {width} {ms} {code}"

    def text(self, program, exec_=True):
        return f"{'exec ' if exec_ else ''}{program} {self.words}"


def some_deed(rng, name, good=0.8, ms_max=5000):
    lines, width = rng.choice(
        [(0, 40), (1, 40), (5, 60), (20, 80), (60, 100), (3, 3000)])
    if rng.random() < 0.05:
        lines, width = 300, 800
    ms = rng.choice([0, 10, 50, 150, 400, 800, 1500])
    if rng.random() < 0.1:
        ms = rng.randrange(2000, 5000)
    code = 0 if rng.random() < good else rng.randrange(1, 120)
    return Deed(name, lines, width, min(ms, ms_max), code)


class Client:
    """HTTP to a server that may be away at any moment."""

    def __init__(self, world):
        login = json.loads((world.state / "operator.login").read_text())
        self.port, self.key = world.http, login["key"]
        self.context = ssl._create_unverified_context()

    def once(self, method, path, body=None, repeat=None):
        """(status, answer)"""
        c = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5,
                                        context=self.context)
        headers = {"Authorization": f"Bearer {self.key}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        if repeat is not None:
            headers["Idempotency-Key"] = repeat
        try:
            c.request(method, path, body, headers)
            answer = c.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text else {}
        finally:
            c.close()

    def insist(self, method, path, body=None, repeat=None, until=None):
        """Until there is an answer, or until() is true: then None."""
        while until is None or not until():
            try:
                status, answer = self.once(method, path, body, repeat)
                if status < 500:
                    return status, answer
            except (OSError, http.client.HTTPException, ValueError):
                pass
            time.sleep(0.05)
        return None


class Projects:
    """A few, each with releases that do well or fail at one step."""

    def __init__(self, world, rng, program):
        self.steps = {}    # (project, release) -> {step: [Script]}
        for i in range(PROJECTS):
            name = f"shop{i}"
            world.package(f"site{i}", "1.0", {"index.html": f"page {i}\n"})
            for release in RELEASES:
                self._release(world, rng, program, i, name, release)

    def _release(self, world, rng, program, i, name, release):
        def deed(step, good=1.0):
            # Machine after machine: short, or one takes for ever.
            return some_deed(rng, f"{name}-{release}-{step}", good, 300)
        good = 1.0 if release == "1.0" else 0.7
        before, after = deed("before"), deed("after", good)
        check = deed("check", good)
        world.project(
            f"project: {name}\npackage: site{i}\nsteps:\n"
            "  - name: roll out\n"
            f"    roles: [shop{i}]\n    rolling: 2\n    max_failures: 9\n"
            "    steps:\n"
            "      - name: install\n"
            f"        deploy: site{i}\n"
            f"        before: {before.text(program)}\n"
            f"        after: {after.text(program, False)}\n"
            "      - name: check\n"
            f"        run: {check.text(program)}\n"
            + (f"        {AGAIN[release]}\n" if release in AGAIN else ""),
            name=name)
        world.release(release, f"site{i}=1.0", name=name)
        self.steps[name, release] = {
            "install": [before.script, after.script], "check": [check.script]}


class Load:
    """A thread that asks for tasks until it is stopped."""

    def __init__(self, world, rng, projects, program, pace=3.5, open_max=40):
        self.world, self.rng, self.projects = world, rng, projects
        self.program, self.pace, self.open_max = program, pace, open_max
        self.client = Client(world)
        self.wishes, self.cancels = [], []
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        """No new ones; what was asked is answered first."""
        self.stopping = True
        self.thread.join()

    def open_tasks(self):
        """Those that are not final; None: the server is away."""
        try:
            status, answer = self.client.once(
                "GET", "/api/v1/tasks?state=open&limit=200")
        except (OSError, http.client.HTTPException, ValueError):
            return None
        return [t["id"] for t in answer["items"]] if status == 200 else None

    def _run(self):
        looked, free = 0.0, self.open_max
        while not self.stopping:
            time.sleep(self.rng.uniform(0.3, 1.7) / self.pace)
            if time.monotonic() - looked > 0.7:
                tasks = self.open_tasks()
                free = 0 if tasks is None else self.open_max - len(tasks)
                looked = time.monotonic()
            if free <= 0:
                continue
            free -= 1
            self._ask(len(self.wishes) + 1)
            self._cancel_some()
        self._cancel_some(True)

    def _ask(self, number):
        if self.rng.random() < 0.12:
            wish, path, body = self._deployment(number)
        else:
            wish, path, body = self._ad_hoc(number)
        self.wishes.append(wish)
        # It may have been answered once, and the answer lost.
        status, answer = self.client.insist("POST", path, body, wish.key)
        assert status == 201, (path, body, status, answer)
        wish.task = int(answer["id"].split("-")[1])
        if self.rng.random() < 0.06:
            wish.cancelled = True
            self.cancels.append((time.monotonic() + self.rng.uniform(0, 2),
                                 wish.task))

    def _cancel_some(self, everything=False):
        now = time.monotonic()
        for when, task in [c for c in self.cancels
                           if everything or c[0] <= now]:
            self.cancels.remove((when, task))
            self.client.insist("POST", f"/api/v1/tasks/task-{task}/cancel", {})

    def _ad_hoc(self, number):
        key = f"w{number}"
        names = sorted(self.world.machines)
        machines = self.rng.sample(names, self.rng.choice([1, 1, 1, 2, 3]))
        deed = some_deed(self.rng, key)
        body = {"machines": machines, "name": key, "queue_s": 600,
                "script": deed.text(self.program, self.rng.random() < 0.5)}
        return (Wish(key, None, machines, {key: [deed.script]}),
                "/api/v1/run", body)

    def _deployment(self, number):
        name, release = self.rng.choice(sorted(self.projects.steps))
        machines = [m for m in sorted(self.world.machines)
                    if name in self.world.machines[m].roles]
        body = {"project": name, "release": release, "environment": "prod",
                "queue_s": 600}
        wish = Wish(f"w{number}", None, machines,
                    self.projects.steps[name, release])
        if "retries" in AGAIN.get(release, ""):
            wish.retried = {"check"}
        elif release in AGAIN:
            wish.rerun_safe = {"check"}
        return wish, "/api/v1/deployments", body
