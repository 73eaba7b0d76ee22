"""Much output of one script while its tentacle is killed again and again (R13):
every byte arrives, and the tentacle stays small.

LONGARM_SOAK: 1 GiB instead of 64 MiB.
"""
import hashlib
import os
import pathlib
import subprocess

import pytest

from harness import LARGE, wait_until

LINES = 120_000_000 if "LONGARM_SOAK" in os.environ else 8_600_000
KILLS = 10
RSS_MAX = 64 << 10  # KiB

pytestmark = pytest.mark.skipif(LARGE > 1, reason="sanitizers need memory")


def digest(stream):
    sha, size = hashlib.sha256(), 0
    for chunk in iter(lambda: stream.read(1 << 20), b""):
        sha.update(chunk)
        size += len(chunk)
    return sha.hexdigest(), size


def processes(pid):
    """It and what it has started, but not scripts and guardians."""
    found = [pid]
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rsplit(")", 1)
        except OSError:
            continue
        if int(words[1].split()[1]) == pid and "tentacle" in words[0]:
            found.append(int(path.parent.name))
    return found


def peak_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def test_no_byte_of_much_output_is_lost_however_often_the_agent_dies(world):
    w = world
    w.server()
    machine = w.tentacle("web-01", settings={"tentacle.log-max": "2G"})
    with subprocess.Popen(["seq", "1", str(LINES)],
                          stdout=subprocess.PIPE) as made:
        expected, size = digest(made.stdout)
    # Until the last kill it has not ended.
    task = w.start_run(
        f'seq 1 {LINES}; while [ ! -e "$HOME/go" ]; do sleep 0.05; done',
        "-m", "web-01", "--script-timeout", "2h")
    log = wait_until(lambda: list((w.state / "logs").glob("*/*.log")),
                     "the log")[0]
    peaks = []
    for n in range(1, KILLS + 1):
        wait_until(lambda n=n: log.stat().st_size > size * n // (KILLS + 1),
                   f"part {n}", 600)
        peaks += [peak_kib(p) for p in processes(machine.process.child.pid)]
        machine.process.restart()
    machine.touch("go")
    w.wait_presence("machine", "web-01")
    wait_until(lambda: w.task(task)["state"] == "succeeded", "its end", 600)
    with open(log, "rb") as file:
        assert digest(file) == (expected, size)
    assert max(peaks) < RSS_MAX, peaks
