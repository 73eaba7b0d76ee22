"""The real programs, on loopback, under the eyes of a test.

    world = World(directory)
    world.server(); world.relay("dc2-a"); world.tentacle("web-01", via="dc2-a")
    world.cli("run", "--all", "--", "uptime").out

Whoever waits does so for something (wait_until), never for a time.  All
processes are in sessions of their own and end with the test.
"""
import http.client
import json
import os
import pathlib
import random
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(
    os.environ.get("LONGARM_BIN", TOP / "build" / "cc" / "bin")).resolve()
# The same programs, which can be killed and stopped at failpoints.
FAILING = BIN.parent / "failing"
# A sanitizer's build takes this many times the memory and the time; and a
# machine that has more to do than processors takes its time, too.
LARGE = 4 if any(s in str(BIN) for s in ("address", "thread")) else 1
SLOW = LARGE * min(4, max(1, os.getloadavg()[0] / os.cpu_count()))

# Timers at a tenth of what a real installation has.
LINK_TIMERS = {
    "link.ping-idle": "1500ms", "link.ping-busy": "500ms", "link.dead": "1s",
    "link.user-timeout": "3s", "link.backoff-min": "50ms",
    "link.backoff-max": "1s"}
SERVER_TIMERS = {
    "health.interval": "0s", "engine.retry-first": "100ms",
    "engine.retry-max": "1s", "engine.overdue": "1500ms",
    "engine.answer": "12s", "engine.lost": "6s", "fleet.idle": "12s",
    "fleet.table": "2s", "fleet.presence": "20ms"}
RELAY_TIMERS = {"relay.presence": "100ms", "relay.drain": "500ms"}
TENTACLE_TIMERS = {"tentacle.grace": "1s", "tentacle.follow": "20ms"}


def wait_until(condition, what="it", seconds=40.0):
    """The first true answer of condition(); fails when there is none."""
    end = time.monotonic() + seconds * SLOW
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what}: not in {seconds} s"
        time.sleep(0.02)


CLAIMED = []


def free_port():
    """A port outside the kernel's own choice, and of no other test's while
    this process lives: it stays free even while its program is down."""
    while True:
        port = random.randrange(20000, 30000)
        claim = socket.socket(socket.AF_UNIX)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                claim.bind(f"\0longarm-test-port-{port}")
                s.bind(("127.0.0.1", port))
            except OSError:
                claim.close()
                continue
            CLAIMED.append(claim)
            return port


def flags(settings):
    return [word for key, value in settings.items()
            for word in ("--set", f"{key}={value}")]


def write(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


class Result:
    """What a command said, and its exit code."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    def __repr__(self):
        return (f"{shlex.join(self.argv)}\nexit code {self.code}\n"
                f"--- out\n{self.out}\n--- err\n{self.err}")

    def lines(self):
        return self.out.splitlines()


class Process:
    """A daemon that can be killed and started again; its output in a log."""

    def __init__(self, argv, log, environment, cwd):
        self.argv, self.log = argv, log
        self.environment, self.cwd = environment, cwd
        self.child = None
        self.frozen = []
        self.start()

    def start(self):
        assert not self.is_running()
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL"] + self.argv, stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, cwd=self.cwd,
                env=self.environment, start_new_session=True)

    def is_running(self):
        return self.child is not None and self.child.poll() is None

    def kill(self):
        """As power loss of this program alone."""
        self.child.kill()
        self.child.wait()

    def stop(self, seconds=10):
        """Politely; the exit code."""
        self.child.terminate()
        return self.child.wait(seconds * SLOW)

    def restart(self):
        self.kill()
        self.start()

    def network_pid(self):
        """Of a tentacle: its process that has the network; None: none."""
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                parent = int((path / "stat").read_text().rsplit(")")[-1]
                             .split()[1])
                words = (path / "cmdline").read_bytes().split(b"\0")
            except (OSError, IndexError, ValueError):
                continue
            if parent == self.child.pid and words[1:2] == [b"net"]:
                return int(path.name)
        return None

    def freeze(self):
        """All of it stands still, as when its machine does."""
        self.frozen = [p for p in (self.network_pid(), self.child.pid) if p]
        for pid in self.frozen:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in self.frozen:
            os.kill(pid, signal.SIGCONT)

    def end(self):
        """Whatever is left of it."""
        if self.is_running():
            self.child.terminate()
            try:
                self.child.wait(3 * SLOW)
            except subprocess.TimeoutExpired:
                self.kill()

    def text(self):
        return self.log.read_text(errors="replace")


class Failpoints:
    """What one program of the failing set is asked to do, by files:
    test/failing/failing.h."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir(exist_ok=True)

    def set(self, name, what="abort"):
        """"abort", "pause", either with a number: at which time."""
        self.path(f"{name}.reached").unlink(missing_ok=True)
        new = self.path(f".{name}")
        new.write_text(what, encoding="utf-8")
        new.rename(self.path(name))

    def clear(self, *names):
        """Whoever pauses there goes on."""
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def path(self, name):
        return self.directory / name

    def is_reached(self, name):
        return self.path(f"{name}.reached").exists()

    def wait(self, name):
        wait_until(lambda: self.is_reached(name), f"failpoint {name}")

    def mutant(self, safeguard):
        """no-sync, ack-early, no-dedupe or reap-early, from now on."""
        self.set(f"mutant.{safeguard}", "")


class Machine:
    """A tentacle: home (its scripts' HOME), state, apps, process."""

    def __init__(self, world, name, port):
        self.world, self.name, self.port = world, name, port
        self.home = world.directory / name
        self.state = self.home / "state"
        self.apps = self.home / "apps"
        self.process = None

    def path(self, name):
        return self.home / name

    def touch(self, name):
        self.path(name).touch()

    def read(self, name):
        path = self.path(name)
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def lines(self, name):
        return self.read(name).splitlines()

    def address(self):
        return f"{self.world.host}:{self.port}"


class World:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.office = self.directory / "office"
        self.office.mkdir(parents=True)
        self.state = self.office / "state"
        self.http = free_port()
        self.links = free_port()
        self.host = "127.0.0.1"  # where all listen for links
        self.relays, self.machines, self.processes = {}, {}, []
        self.server_process = None
        self.failpoints = None  # by program, once use_failing() was called
        self.environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "HOME": str(self.office), "LANG": "C.UTF-8",
            "LONGARM_LOGIN": str(self.office / "login")}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    # --- Making -----------------------------------------------------------

    def use_failing(self):
        """From here on programs are those of the failing set; what they are
        asked for: failpoints["server"], or any other by its name."""
        self.failpoints = {}
        self.environment["PATH"] = f"{FAILING}:{self.environment['PATH']}"
        return self

    def fail(self, name):
        """The failpoints of the program `name`, also before it runs."""
        if name not in self.failpoints:
            self.failpoints[name] = Failpoints(
                self.directory / f"{name}.failpoints")
        return self.failpoints[name]

    def spawn(self, name, argv):
        environment = dict(self.environment)
        if self.failpoints is not None:
            environment["LONGARM_FAILPOINTS"] = str(self.fail(name).directory)
        process = Process(argv, self.directory / f"{name}.log",
                          environment, self.office)
        self.processes.append(process)
        return process

    def call(self, argv, **more):
        if "input" not in more:
            more["stdin"] = subprocess.DEVNULL
        more.setdefault("timeout", 90 * SLOW)
        done = subprocess.run(
            argv, capture_output=True, text=True, cwd=self.office,
            env=self.environment, check=False, **more)
        return Result(argv, done.returncode, done.stdout, done.stderr)

    def server(self, settings=None, timers=None):
        """Init, serve, log in."""
        timers = SERVER_TIMERS | LINK_TIMERS if timers is None else timers
        made = self.call([
            "longarm-server", "init", "--state", str(self.state), "--name",
            "n1", "--http-name", "127.0.0.1", "--http-listen",
            f"127.0.0.1:{self.http}", "--listen", self.upstream(None)])
        assert made.code == 0, made
        self.server_process = self.spawn("server", [
            "longarm-server", "serve", "--state", str(self.state),
            "--http-listen", f"127.0.0.1:{self.http}", "--listen",
            self.upstream(None)] + flags(timers | (settings or {})))
        self.wait_for_server()
        self.cli("login", "--file", str(self.state / "operator.login"))
        self.cli("environment", "create", "prod")
        return self.server_process

    def wait_for_server(self):
        def answers():
            assert self.server_process.is_running(), "the server has ended"
            try:
                return self.api("GET", "/livez")[0] == 200
            except (OSError, http.client.HTTPException):
                return False
        wait_until(answers, "the HTTP API")

    def token(self, name, *words):
        path = self.office / f"{name}.token"
        self.cli("token", "create", "--name", name, "--out", str(path), *words)
        return path

    def relay(self, name="dc2-a", via=None, settings=None, timers=None,
              dialled=False, upstream=None, words=()):
        """A relay that has joined through the server, another relay, or
        what stands at the address upstream; dialled: by the server; words:
        of its token."""
        timers = RELAY_TIMERS | LINK_TIMERS if timers is None else timers
        port, state = free_port(), self.directory / name / "state"
        state.parent.mkdir()
        token = self.token(name, "--relay", *words)
        joined = self.call([
            "longarm-relay", "join", "--state", str(state), "--token-file",
            str(token), upstream or self.upstream(via)]
            + (["--advertise", f"{self.host}:{port}"] if dialled else []))
        assert joined.code == 0, joined
        process = self.spawn(name, [
            "longarm-relay", "run", "--state", str(state), "--listen",
            f"{self.host}:{port}"] + flags(timers | (settings or {})))
        process.port, process.state = port, state
        self.relays[name] = process
        self.wait_presence("relay", name)
        return process

    def upstream(self, via):
        """via: a relay's name, or an address where a proxy stands."""
        if via is not None and ":" in via:
            return via
        port = self.links if via is None else self.relays[via].port
        return f"{self.host}:{port}"

    def join(self, name, via=None, dialled=True, words=()):
        """Only enrol; the machine."""
        machine = Machine(self, name, free_port())
        machine.home.mkdir()
        token = self.token(name, *words)
        joined = self.call([
            "longarm-tentacle", "join", "--state", str(machine.state),
            "--token-file", str(token), self.upstream(via)]
            + (["--advertise", machine.address()] if dialled else []))
        assert joined.code == 0, joined
        machine.joined = joined
        if self.failpoints is not None:
            # Guardians have no environment: they look here.
            (machine.state / "failpoints").symlink_to(
                self.fail(name).directory)
        self.machines[name] = machine
        return machine

    def tentacle(self, name, via=None, dialled=True, wait=True, settings=None,
                 words=("-e", "prod", "-r", "web"), timers=None):
        """A machine that has joined and runs; dialled: it listens."""
        timers = TENTACLE_TIMERS | LINK_TIMERS if timers is None else timers
        machine = self.join(name, via, dialled, words)
        machine.process = self.spawn(name, [
            "longarm-tentacle", "run", "--state", str(machine.state)]
            + (["--listen", machine.address()] if dialled else [])
            + flags({"tentacle.apps": machine.apps,
                     "tentacle.home": machine.home} | timers
                    | (settings or {})))
        if wait:
            self.wait_presence("machine", name)
        return machine

    # --- Asking -----------------------------------------------------------

    def cli(self, *argv, code=0, **more):
        """`longarm ...`; code None: any exit code will do."""
        result = self.call(["longarm"] + [str(a) for a in argv], **more)
        assert code is None or result.code == code, result
        return result

    def json(self, *argv):
        return json.loads(self.cli(*argv, "-o", "json").out)

    def open_cli(self, *argv):
        """`longarm ...` that goes on while the test does something."""
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "longarm"]
            + [str(a) for a in argv], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            cwd=self.office, env=self.environment)
        self.processes.append(_Open(child))
        return child

    def finish(self, child):
        out, err = child.communicate(timeout=90 * SLOW)
        return Result(child.args[3:], child.returncode, out, err)

    def api(self, method, path, key=None, body=None, headers=None):
        """(status, body text) of one HTTP request, certificate unchecked."""
        c = http.client.HTTPSConnection(
            "127.0.0.1", self.http, timeout=10 * SLOW,
            context=ssl._create_unverified_context())
        headers = dict(headers or {})
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            c.request(method, path, body, headers)
            answer = c.getresponse()
            return answer.status, answer.read().decode()
        finally:
            c.close()

    def key(self):
        """The operator's API key."""
        return json.loads((self.state / "operator.login").read_text())["key"]

    def audit(self):
        """The newest rows of it."""
        status, body = self.api("GET", "/api/v1/audit", self.key())
        assert status == 200, body
        return json.loads(body)["items"]

    def row(self, noun, name):
        for one in self.json(noun, "list"):
            if one["name"] == name:
                return one
        return None

    def wait_presence(self, noun, name, presence="online"):
        return wait_until(
            lambda: self.row(noun, name)["presence"] == presence,
            f"{noun} {name} {presence}")

    def task(self, task):
        return self.json("task", "show", task)

    def runs(self, task):
        """{(machine, step): run} of a task."""
        return {(r["machine"], r["step"]): r for r in self.task(task)["runs"]}

    def run_state(self, task, machine, step="run"):
        """"" while there is no such run yet."""
        return self.runs(task).get((machine, step), {"state": ""})["state"]

    def wait_task(self, task, *states):
        return wait_until(
            lambda: (lambda t: t["state"] in states and t)(self.task(task)),
            f"{task} {' or '.join(states)}")

    def start_run(self, body, *words):
        """`longarm run --detach`: the task's id."""
        return self.cli("run", "--detach", *words, "--", body).out.strip()

    # --- A project --------------------------------------------------------

    def project(self, process, name="shop"):
        """Apply a process file, push its package, release 1."""
        file = write(self.office / f"{name}.yaml", process)
        self.cli("project", "apply", "-f", file)

    def package(self, name, version, files):
        tree = self.office / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        for path, text in files.items():
            write(tree / path, text)
        self.cli("package", "push", tree, "--name", name, "--version", version)

    def release(self, version, *packages, name="shop"):
        words = [w for p in packages for w in ("--package", p)]
        self.cli("release", "create", name, "--version", version, *words)

    def deploy(self, version, *words, name="shop"):
        """Not waited for: the task's id."""
        return self.cli("deploy", name, "--release", version, "--to", "prod",
                        *words).out.strip()

    # --- Ending -----------------------------------------------------------

    def close(self):
        for process in reversed(self.processes):
            process.end()
        self.end_scripts()

    def crashes(self):
        """Programs that broke, or that a sanitizer has something to say of."""
        found = []
        broken = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS,
                  -signal.SIGILL)
        for process in self.processes:
            # A line is several programs, all else is one.
            for child in getattr(process, "children", None) or [process.child]:
                if child.poll() in broken:
                    found.append(shlex.join(child.args[3:5]))
        for log in sorted(self.directory.glob("*.log")):
            text = log.read_text(errors="replace")
            if "Sanitizer" in text or ": runtime error: " in text:
                found.append(f"{log.name}\n{text[-8000:]}")
        return found

    def end_scripts(self):
        """Those that outlived their tentacle: they ran in this world."""
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if f"{self.directory}/".encode() in path.read_bytes():
                    os.kill(int(path.parent.name), signal.SIGKILL)
            except OSError:
                pass

    def logs(self):
        parts = []
        for log in sorted(self.directory.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            parts.append(f"--- {log.name}{self._end_of(log)}\n"
                         + "\n".join(lines[-60:]))
        return "\n".join(parts)


    def _end_of(self, log):
        for process in self.processes:
            if getattr(process, "log", None) == log:
                code = process.child.poll()
                return "" if code is None else f" (ended: {code})"
        return ""


class _Open:
    def __init__(self, child):
        self.child = child

    def end(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait()
