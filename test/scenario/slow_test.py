"""Handshakes that never end take nothing from those that do (S5).

    LONGARM_SOAK=N    10,000 slow connections instead of some; what was seen
                      goes to build/bench/slow-VICTIM.json
"""
import json
import os
import resource
import select
import socket
import ssl
import threading
import time

import pytest

from harness import LARGE, LINK_TIMERS, SLOW, TOP, wait_until

# More than link.handshakes, so that all the room is taken.
SLOW_ONES = 10000 if os.environ.get("LONGARM_SOAK") else 1200
# How many the attacker opens a second, once all are there.
AGAIN_A_SECOND = 200
HANDSHAKE_S = 10  # link.handshake


def client_hello():
    """A good beginning of a handshake."""
    out = ssl.MemoryBIO()
    tls = ssl._create_unverified_context().wrap_bio(ssl.MemoryBIO(), out)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


class Attack:
    """Connections that say nothing, or a byte at a time, and come back."""

    def __init__(self, port):
        self.port, self.hello = port, client_hello()
        self.open = {}  # socket: (since, bytes said, slow loris)
        self.longest, self.opened, self.ended = 0.0, 0, 0
        self.full, self.stop = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.go, daemon=True)
        self.thread.start()

    def dial(self):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", self.port))
        self.opened += 1
        self.open[s] = [time.monotonic(), 0, self.opened % 2]
        self.poll.register(s, select.EPOLLIN | select.EPOLLHUP)
        self.by_fd[s.fileno()] = s

    def drop(self, s):
        self.longest = max(self.longest,
                           time.monotonic() - self.open.pop(s)[0])
        self.ended += 1
        del self.by_fd[s.fileno()]
        self.poll.unregister(s)
        s.close()

    def drip(self):
        for s, state in list(self.open.items()):
            if state[2] and state[1] < len(self.hello) - 1:
                try:
                    s.send(self.hello[state[1]:state[1] + 1])
                    state[1] += 1
                except BlockingIOError:
                    pass
                except OSError:
                    self.drop(s)

    def go(self):
        self.poll, self.by_fd = select.epoll(), {}
        dripped, paced = 0.0, 0.0
        while not self.stop.is_set():
            if not self.full.is_set():
                for _ in range(100):
                    self.dial()
                if self.opened >= SLOW_ONES:
                    self.full.set()
            elif time.monotonic() > paced + 0.05:
                paced = time.monotonic()
                for _ in range(AGAIN_A_SECOND // 20):
                    if len(self.open) < SLOW_ONES:
                        self.dial()
            for fd, _ in self.poll.poll(0.05):
                s = self.by_fd[fd]
                try:
                    if s.recv(4096):
                        continue
                except BlockingIOError:
                    continue
                except OSError:
                    pass
                self.drop(s)
            if time.monotonic() > dripped + 0.5:
                self.drip()
                dripped = time.monotonic()
        for s in list(self.open):
            s.close()

    def end(self):
        self.stop.set()
        self.thread.join()


def rss_mib(process):
    with open(f"/proc/{process.child.pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def write_figures(victim, figures):
    if not os.environ.get("LONGARM_SOAK"):
        return
    path = TOP / "build" / "bench" / f"slow-{victim}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


@pytest.fixture(autouse=True)
def many_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    assert before[1] > SLOW_ONES + 500, "too few descriptors: ulimit -Hn"
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.sanitizer
@pytest.mark.parametrize("victim", ["relay", "server"])
def test_slow_handshakes_keep_nobody_out(world, victim):
    world.server()
    process = world.server_process
    port, via = world.links, None
    if victim == "relay":
        process = world.relay("dc2-a")
        port, via = process.port, "dc2-a"
    machine = world.tentacle("web-01", via=via, dialled=False,
                             timers=LINK_TIMERS)
    task = world.start_run("sleep 3; echo still here", "-m", "web-01")
    attack = Attack(port)
    assert attack.full.wait(30 * SLOW)
    # Live traffic goes on ...
    began = time.monotonic()
    world.cli("run", "-m", "web-01", "--", "true")
    assert time.monotonic() - began < 2 * SLOW
    world.cli("task", "wait", task)
    # ... and an honest machine is let in at once, again and again.
    let_in = []
    for _ in range(3):
        machine.process.kill()
        world.wait_presence("machine", "web-01", "offline")
        machine.process.start()
        began = time.monotonic()
        world.wait_presence("machine", "web-01")
        let_in.append(round(time.monotonic() - began, 2))
    assert max(let_in) < 2 * SLOW, let_in
    # Each slow one is given up in time, and they cost little.
    wait_until(lambda: attack.ended >= SLOW_ONES, "their end",
               HANDSHAKE_S + 5)
    rss = rss_mib(process)
    write_figures(victim, {
        "slow_connections": attack.opened, "longest_seconds":
        round(attack.longest, 2), "let_in_seconds": let_in,
        "rss_mib": round(rss, 1)})
    assert attack.longest < (HANDSHAKE_S + 2) * SLOW
    assert rss < 256 * LARGE
    attack.end()
