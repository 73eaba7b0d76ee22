"""Where the story takes place: places, their networks and their processes."""
import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import time

UNSHARE = ["setpriv", "--pdeathsig", "KILL", "unshare", "--user",
           "--map-root-user", "--net", "--pid", "--mount", "--uts", "--fork",
           "--kill-child", "--mount-proc"]
MACHINES = ("web-01", "web-02", "web-03")
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """Something that the demo claims did not hold; text for a person."""


def die_with_parent():
    ctypes.CDLL(None, use_errno=True).prctl(
        PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def forbidden():
    """Why there can be no world of our own; None: there can."""
    if os.environ.get("LONGARM_DEMO_LOOPBACK"):
        return "as LONGARM_DEMO_LOOPBACK says"
    probe = UNSHARE + [
        "sh", "-c", "unshare --net --uts ip link set lo up && "
        "ip link add veth0 type veth peer name veth1 && "
        "ip link add bridge0 type bridge && "
        "echo 0 >/proc/sys/net/ipv4/ip_forward"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True,
                              timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        return str(e)
    lines = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else (lines or ["unshare failed"])[-1]


def wait_for(what, condition, seconds=30.0):
    """The first true answer of condition()."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


class World:
    """Places by name ("office", "edge", "web-01"...), each a directory."""

    isolated = False

    def __init__(self, directory, programs):
        self.directory = directory
        self.programs = programs
        self.processes = []
        for place in self.places():
            shutil.rmtree(directory / place, ignore_errors=True)
            (directory / place).mkdir(parents=True)
        path = f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin"
        self.environment = {
            "PATH": path, "LANG": "C.UTF-8", "NO_COLOR": "1",
            "LONGARM_LOGIN": str(directory / "office" / "login")}

    @staticmethod
    def places():
        return ("office", "edge") + MACHINES

    def home(self, place):
        return self.directory / place

    def into(self, place):
        """What to put before a command so that it runs there."""
        raise NotImplementedError

    def options(self, place):
        return {"cwd": self.home(place), "stdin": subprocess.DEVNULL,
                "env": dict(self.environment, HOME=str(self.home(place)))}

    def run(self, place, argv, **more):
        return subprocess.run(
            self.into(place) + argv, **{**self.options(place), **more},
            check=False)

    def popen(self, place, argv, end="KILL", **more):
        """A process that ends with us at the latest, by the signal `end`."""
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", end] + self.into(place) + argv,
            start_new_session=True, **{**self.options(place), **more})
        self.processes.append(child)
        return child

    def daemon(self, place, name, argv, end="KILL"):
        """The same with its output in name.log there."""
        with open(self.home(place) / f"{name}.log", "wb") as log:
            return self.popen(place, argv, end, stdout=log, stderr=log)

    def stop(self):
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for child in self.processes:
                if child.poll() is None:
                    child.send_signal(sign)
            end = time.monotonic() + 3
            for child in self.processes:
                try:
                    child.wait(max(0.01, end - time.monotonic()))
                except subprocess.TimeoutExpired:
                    pass


class Isolated(World):
    """Three networks:

        office 10.1.0.1 ---- 10.1.0.2 edge 10.2.0.1 ---- 10.2.0.11..13 web-0N

    The office's default route even leads to the edge; but the edge forwards
    nothing, and the machines have no route back.
    """

    isolated = True

    def __init__(self, directory, programs):
        super().__init__(directory, programs)
        self.holders = {place: self._hold(place) for place in self.places()}
        self._connect()

    @staticmethod
    def _hold(place):
        """A process that keeps the place's network namespace."""
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--uts",
             "sh", "-c", f"hostname {place}; ip link set lo up; echo; "
             "exec sleep infinity"], stdout=subprocess.PIPE,
            start_new_session=True)
        if child.stdout.readline() != b"\n":
            raise Failed(f"{place}: no network namespace")
        return child.pid

    def _ip(self, *words):
        subprocess.run(["ip"] + [str(w) for w in words], check=True)

    def _address(self, place, device, address):
        for words in (["addr", "add", address, "dev", device],
                      ["link", "set", device, "up"]):
            done = self.run(place, ["ip"] + words)
            if done.returncode != 0:
                raise Failed(f"{place}: ip {' '.join(words)}")

    def _connect(self):
        pid = self.holders
        self._ip("link", "add", "wan0", "netns", pid["office"], "type", "veth",
                 "peer", "name", "wan0", "netns", pid["edge"])
        self._address("office", "wan0", "10.1.0.1/24")
        self._address("edge", "wan0", "10.1.0.2/24")
        self.run("office", ["ip", "route", "add", "default", "via", "10.1.0.2"])
        # A switch without an address of its own.
        self._ip("link", "add", "switch", "type", "bridge")
        self._ip("link", "set", "switch", "up")
        for i, place in enumerate(("edge",) + MACHINES):
            self._ip("link", "add", f"port{i}", "type", "veth", "peer", "name",
                     "lan0", "netns", pid[place])
            self._ip("link", "set", f"port{i}", "master", "switch", "up")
            self._address(place, "lan0",
                          "10.2.0.1/24" if i == 0 else f"10.2.0.{10 + i}/24")
        for place in self.places():
            done = self.run(place, [
                "sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"])
            if done.returncode != 0:
                raise Failed(f"{place}: cannot switch forwarding off")

    def into(self, place):
        return ["nsenter", f"--target={self.holders[place]}", "--net", "--uts"]

    def address(self, place):
        if place in MACHINES:
            return f"10.2.0.{11 + MACHINES.index(place)}"
        return "10.1.0.1" if place == "office" else "10.2.0.1"

    def wan_address(self, _place):
        return "10.1.0.2"

    def port(self, _place, usual):
        return usual

    def way_in(self):
        """A program with which a user looks around while this is kept up."""
        path = self.directory / "enter"
        outer = os.environ["LONGARM_DEMO_OUTER"]
        cases = "\n".join(
            f"{place}) holder={pid} ;;" for place, pid in self.holders.items())
        home = self.directory
        path.write_text(f"""#!/bin/sh
# enter PLACE [COMMAND...]: run a command, or a shell, inside the demo.
place=${{1:-office}}
[ $# -eq 0 ] || shift
case $place in
{cases}
*) echo "places: {' '.join(self.places())}" >&2; exit 2 ;;
esac
child() {{ pgrep -o -P "$1"; }}
world=$(child "$(child {outer})") || {{ echo "the demo is gone" >&2; exit 1; }}
[ $# -gt 0 ] || set -- "${{SHELL:-/bin/sh}}"
cd "{home}/$place" || exit 1
PATH={self.programs}:$PATH:/usr/sbin:/sbin
LONGARM_LOGIN={home}/office/login
HOME={home}/$place
export PATH LONGARM_LOGIN HOME
[ "$(id -u)" = 0 ] && keep= || keep=--preserve-credentials
# shellcheck disable=SC2086
exec nsenter --target="$world" --user $keep --mount --pid --wd="$PWD" -- \\
    nsenter --target="$holder" --net --uts -- "$@"
""", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)


class Loopback(World):
    """All places on 127.0.0.1, told apart by their ports."""

    def __init__(self, directory, programs):
        super().__init__(directory, programs)
        self.ports = {}
        self.taken = []

    def into(self, _place):
        return []

    def address(self, _place):
        return "127.0.0.1"

    def wan_address(self, _place):
        return "127.0.0.1"

    def port(self, place, usual):
        if (place, usual) not in self.ports:
            # Held until all are chosen: no two are the same.
            holder = socket.socket()
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            self.ports[(place, usual)] = holder.getsockname()[1]
            self.taken.append(holder)
        return self.ports[(place, usual)]

    def free_ports(self):
        for holder in self.taken:
            holder.close()
        self.taken = []

    def way_in(self):
        return None
