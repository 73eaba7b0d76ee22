"""One walk with the timers of a real installation."""
import signal
import time

import pytest

from harness import SLOW, wait_until


@pytest.mark.real_timers
def test_a_hanging_machine_is_missed_within_half_a_minute(world):
    world.server(timers={})
    world.relay(timers={})
    machine = world.tentacle("web-01", via="dc2-a", timers={})
    world.cli("health", "run")
    assert world.row("machine", "web-01")["health"] == "healthy"
    machine.process.child.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    wait_until(lambda: world.row("machine", "web-01")["presence"] != "online",
               "the hang noticed", 30)
    # Never earlier than an unanswered PING has to be waited for.
    assert time.monotonic() - began > 9 / SLOW
    machine.process.child.send_signal(signal.SIGCONT)
    wait_until(lambda: world.row("machine", "web-01")["presence"] == "online",
               "the machine again", 70)
    world.cli("run", "--all", "--", "true")
