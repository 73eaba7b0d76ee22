"""Where a bench runs: networks and processors of its own, and processes that end
with it.  Everything is inside namespaces that scripts/bench has entered."""
import contextlib
import json
import os
import pathlib
import re
import resource
import shlex
import signal
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
NEAR, FAR = "10.8.0.1", "10.8.0.2"
LINE_NEAR, LINE_FAR = "10.9.0.1", "10.9.0.2"
DIE = ["setpriv", "--pdeathsig", "KILL"]
CONGESTION = "cubic"


class NotHere(Exception):
    """This cannot be run on this machine; the text says why."""


def find(program):
    for directory in os.environ["PATH"].split(":") + ["/usr/sbin", "/sbin"]:
        path = pathlib.Path(directory) / program
        if os.access(path, os.X_OK):
            return str(path)
    raise NotHere(f"{program} is not installed")


def first_line(argv):
    """For versions."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().split("\n")[0]


class Place:
    """Two cores: the first for what is measured, the second for its load."""

    def __init__(self, directory, say):
        self.directory, self.say = pathlib.Path(directory), say
        self.bin = pathlib.Path(os.environ["LONGARM_BIN"]).resolve()
        self.loads = self.bin.parent / "bench"
        self.tools = self.bin.parent / "tools"
        cores = sorted(os.sched_getaffinity(0))
        self.core, self.load_core = cores[0], cores[min(1, len(cores) - 1)]
        self.children, self.commands = [], []
        self.far = self.line = self.wire = None
        self.next_port = 18000
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        self.tune([])
        self.check(["ip", "link", "set", "lo", "up"])
        self.keys = self.directory / "keys"
        self.check([str(self.loads / "bench_keys"), str(self.keys)])

    # --- Processes --------------------------------------------------------

    def note(self, argv):
        """Each kind of command is printed once."""
        text = shlex.join(str(a) for a in argv).replace(
            str(self.directory), "DIR").replace(str(TOP) + "/", "")
        kind = re.sub(r"\d+", "N", text)
        if kind not in {re.sub(r"\d+", "N", c) for c in self.commands}:
            self.commands.append(text)
            self.say(f"  $ {text}")

    def check(self, argv, **more):
        done = subprocess.run([str(a) for a in argv], capture_output=True,
                              text=True, check=False, **more)
        if done.returncode != 0:
            raise NotHere(f"{shlex.join(str(a) for a in argv)}: "
                          f"{done.stderr.strip()[-400:]}")
        return done.stdout

    def pinned(self, argv, core=None):
        core = self.core if core is None else core
        return ["taskset", "-c", str(core)] + [str(a) for a in argv]

    def start(self, argv, log, **more):
        """A process to be measured, or its target."""
        self.note(argv)
        with open(self.directory / log, "ab") as out:
            child = subprocess.Popen(
                DIE + [str(a) for a in argv], stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, start_new_session=True, **more)
        self.children.append(child)
        return child

    def stop(self, child):
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children.remove(child)

    def load(self, program, *words):
        """Run a load generator; what it measured."""
        argv = self.pinned([self.loads / program, self.keys, *words],
                           self.load_core)
        self.note(argv)
        done = subprocess.run(DIE + argv, capture_output=True, text=True,
                              timeout=120, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr.strip()[-400:]}")
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def idle_load(self, program, *words):
        """A load that stays, once it has said that it is ready."""
        argv = self.pinned([self.loads / program, self.keys, *words, "idle=1"],
                           self.load_core)
        self.note(argv)
        child = subprocess.Popen(DIE + argv, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        self.children.append(child)
        try:
            if child.stdout.readline() != "ready\n":
                raise RuntimeError(f"{program} is not ready")
            yield child
        finally:
            child.kill()
            child.wait()
            self.children.remove(child)

    def close(self):
        for child in reversed(self.children):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    # --- Networks ---------------------------------------------------------

    def port(self):
        self.next_port += 1
        return self.next_port

    def tune(self, inside, control=CONGESTION):
        """One congestion control for all, no memory of former connections."""
        self.check([*inside, "sh", "-c",
                    "echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save"])
        try:
            self.check([*inside, "sh", "-c", f"echo {control} > "
                        "/proc/sys/net/ipv4/tcp_congestion_control"])
        except NotHere:
            self.say(f"  {control} cannot be had here: all use "
                     + self.congestion())

    @staticmethod
    def congestion():
        with open("/proc/sys/net/ipv4/tcp_congestion_control",
                  encoding="ascii") as f:
            return f.read().strip()

    def hold(self):
        """A process that is all there is in a network of its own."""
        child = subprocess.Popen(
            DIE + ["unshare", "--net", "sh", "-c",
                   "ip link set lo up && echo up && exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True)
        self.children.append(child)
        if child.stdout.readline() != "up\n":
            raise NotHere("there can be no second network namespace here")
        self.tune(self.enter(child))
        return child

    @staticmethod
    def enter(holder):
        return ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]

    @staticmethod
    def file(holder):
        return f"/proc/{holder.pid}/ns/net"

    def far_network(self):
        """At the end of a pair of virtual Ethernet devices."""
        if self.far is None:
            self.far = self.hold()
            enter = self.enter(self.far)
            self.check(["ip", "link", "add", "near0", "type", "veth", "peer",
                        "name", "far0", "netns", self.far.pid])
            self.check(["ip", "addr", "add", f"{NEAR}/24", "dev", "near0"])
            self.check(["ip", "link", "set", "near0", "up"])
            self.check([*enter, "ip", "addr", "add", f"{FAR}/24", "dev",
                        "far0"])
            self.check([*enter, "ip", "link", "set", "far0", "up"])
        return self.far

    def shape(self, rate):
        """Both ways; a bucket of 128 KB.  None: as fast as it goes."""
        far = self.enter(self.far_network())
        for prefix, device in (([], "near0"), (far, "far0")):
            subprocess.run([*prefix, "tc", "qdisc", "del", "dev", device,
                            "root"], capture_output=True, check=False)
            if rate is not None:
                argv = [*prefix, "tc", "qdisc", "add", "dev", device, "root",
                        "tbf", "rate", rate, "burst", "128kb", "limit", "1mb"]
                self.note(argv)
                self.check(argv)

    def long_line(self, **settings):
        """The network at the far end of a delay line."""
        if self.line is None:
            if not os.path.exists("/dev/net/tun"):
                raise NotHere("there is no /dev/net/tun")
            holder = self.hold()
            argv = [self.tools / "delay_line", "/proc/self/ns/net", LINE_NEAR,
                    self.file(holder), LINE_FAR]
            argv += [f"{k}={v}" for k, v in settings.items()]
            self.note(argv)
            child = subprocess.Popen(
                DIE + self.pinned(argv, self.load_core),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                start_new_session=True)
            self.children.append(child)
            if child.stdout.readline() != "ready\n":
                raise NotHere("test/tools/delay_line does not run here")
            for prefix in ([], self.enter(holder)):
                self.check([*prefix, "ip", "link", "set", "wire0",
                            "txqueuelen", "10000"])
            self.line, self.wire = holder, child
        return self.line

    def change_line(self, **settings):
        words = " ".join(f"{k}={v}" for k, v in settings.items())
        self.wire.stdin.write(words + "\n")
        self.wire.stdin.flush()
        self.wire.stdout.readline()

    def rtt(self, peer):
        """TCP_INFO's of the connections to this address, ms: the longest round
        trip, and the least that one has seen."""
        out = self.check(["ss", "-tin", "dst", peer])
        least = re.findall(r"minrtt:([\d.]+)", out)
        times = re.findall(r" rtt:([\d.]+)/", out)
        return (max(map(float, times), default=0.0),
                min(map(float, least), default=0.0))


def memory_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise RuntimeError("it has no memory")


def wait_port(host, port, seconds=10):
    """Until somebody listens there."""
    until = time.monotonic() + seconds
    want = f"{host}:{port}"
    while time.monotonic() < until:
        out = subprocess.run(["ss", "-tlnH"], capture_output=True, text=True,
                             check=False).stdout
        if f":{port} " in out:
            return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens at {want}")
