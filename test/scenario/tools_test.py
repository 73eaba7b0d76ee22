"""The tools that do harm do exactly the harm that they are told to."""
import socket
import time

import pytest

from faults import Proxy
from harness import wait_until


class Pair:
    """A connection through a proxy: ours, and the target's end of it."""

    def __init__(self, world):
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        self.proxy = Proxy(world, f"127.0.0.1:{port}")
        self.dial()

    def dial(self):
        self.near = socket.create_connection(
            ("127.0.0.1", self.proxy.port), 5)
        self.far = self.listener.accept()[0]
        self.far.settimeout(5)

    def close(self):
        for one in (self.near, self.far, self.listener):
            one.close()


@pytest.fixture
def pair(world):
    one = Pair(world)
    yield one
    one.close()


def read_all(s):
    got = b""
    while True:
        part = s.recv(65536)
        if not part:
            return got
        got += part


def test_a_cut_lets_exactly_so_many_bytes_through(pair):
    pair.proxy.tell("cut up 10")
    pair.near.sendall(b"0123456789abcdef")
    assert read_all(pair.far) == b"0123456789"
    pair.dial()
    pair.near.sendall(b"again")
    assert pair.far.recv(100) == b"again"
    stat = pair.proxy.stat()
    assert stat["up"] == 15 and stat["trips"] == 1 and stat["accepted"] == 2
    assert 0 <= stat["again_ms"] < 5000 and stat["back_ms"] == -1


def test_a_reset_is_one(pair):
    pair.proxy.tell("cut down 3 reset")
    pair.far.sendall(b"abcdef")
    with pytest.raises(ConnectionResetError):
        while pair.near.recv(100):
            pass


def test_a_pause_is_silent_and_loses_nothing(pair):
    pair.proxy.tell("pause")
    pair.near.sendall(b"later")
    pair.far.settimeout(0.2)
    with pytest.raises(TimeoutError):
        pair.far.recv(100)
    pair.proxy.tell("resume")
    pair.far.settimeout(5)
    assert pair.far.recv(100) == b"later"


def test_a_frozen_connection_stays_half_open_while_others_pass(pair):
    pair.proxy.tell("freeze up 2")
    pair.near.sendall(b"abcd")
    assert pair.far.recv(100) == b"ab"
    frozen = pair.near, pair.far
    pair.dial()
    pair.near.sendall(b"new")
    assert pair.far.recv(100) == b"new"
    frozen[1].settimeout(0.2)
    with pytest.raises(TimeoutError):
        frozen[1].recv(100)
    for one in frozen:
        one.close()


def test_the_last_bytes_are_held_back_until_more_come(pair):
    pair.proxy.tell("hold up 4")
    pair.near.sendall(b"abcdefgh")
    assert pair.far.recv(100) == b"abcd"
    pair.near.sendall(b"ij")
    assert pair.far.recv(100) == b"ef"
    pair.near.shutdown(socket.SHUT_WR)
    pair.proxy.tell("pass")
    assert read_all(pair.far) == b"ghij"


def test_a_rate_is_kept(pair):
    pair.proxy.tell("rate up 100000")
    began = time.monotonic()
    pair.near.sendall(b"x" * 60000)
    pair.near.shutdown(socket.SHUT_WR)
    assert len(read_all(pair.far)) == 60000
    assert 0.4 < time.monotonic() - began < 5


def test_an_end_is_carried_through_and_forgotten(pair):
    pair.near.sendall(b"last words")
    pair.near.shutdown(socket.SHUT_WR)
    assert read_all(pair.far) == b"last words"
    pair.far.sendall(b"and mine")
    pair.far.close()
    assert read_all(pair.near) == b"and mine"
    wait_until(lambda: pair.proxy.stat()["open"] == 0, "closed")
