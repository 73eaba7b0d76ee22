"""The long line is as long, as wide and as bad as it is told to be."""
import re
import subprocess

import pytest

import long_line
from long_line import FAR, LongLine

pytestmark = pytest.mark.skipif(
    long_line.forbidden() is not None,
    reason=f"no long line: {long_line.forbidden()}")

# Reads until the end, says how much it was, and how fast.
SINK = """
import socket, time
s = socket.create_server(("%s", 7000)); print("listening", flush=True)
c = s.accept()[0]; n, part = 0, c.recv(1 << 20); began = time.monotonic()
while part:
    n += len(part); part = c.recv(1 << 20)
print(n, n / (time.monotonic() - began)); c.send(b"x")
""" % FAR

# Sends so many bytes; says what the kernel knows of the round trip, in us.
SOURCE = """
import socket, struct, sys
s = socket.create_connection(("%s", 7000)); block = b"x" * 65536
rtt = struct.unpack_from("I", s.getsockopt(socket.IPPROTO_TCP, 11, 104), 68)
print(rtt[0], flush=True)
for i in range(int(sys.argv[1]) // len(block)): s.sendall(block)
s.shutdown(socket.SHUT_WR); s.recv(1)
""" % FAR


def transfer(line, count):
    """(round trip in ms, bytes a second)"""
    sink = line.open(line.far(["/usr/bin/python3", "-c", SINK]))
    assert sink.stdout.readline() == "listening\n"
    source = subprocess.run(
        line.near(["/usr/bin/python3", "-c", SOURCE, str(count)]),
        capture_output=True, text=True, timeout=60, check=True)
    got, speed = sink.stdout.readline().split()
    assert int(got) == count
    return int(source.stdout) / 1000, float(speed)


def test_a_round_trip_takes_what_it_should(world):
    line = LongLine(world, delay_us=50000)
    rtt, speed = transfer(line, 32 << 20)
    assert 100 <= rtt < 120
    # Nothing but the windows of TCP is in the way.
    assert speed > 2e6, speed


def test_no_delay_is_none(world):
    rtt, speed = transfer(LongLine(world), 64 << 20)
    assert rtt < 10 and speed > 20e6, (rtt, speed)


def test_the_rate_is_the_rate(world):
    line = LongLine(world, delay_us=5000, rate=4000000, queue_bytes=262144)
    _, speed = transfer(line, 8 << 20)
    # Headers are on the line too.
    assert 0.6 * 4e6 < speed < 4.1e6, speed


def test_what_is_lost_is_sent_again(world):
    line = LongLine(world, delay_us=2000, jitter_us=2000, loss_ppm=10000,
                    reorder_ppm=20000, seed=7)
    transfer(line, 4 << 20)
    lost = [int(n) for n in re.findall(r"lost=(\d+)", line.stat())]
    assert len(lost) == 2 and lost[0] > 5
