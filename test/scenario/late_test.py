"""Certificates that expired while nobody could renew them; minutes long, as
five minutes of skew are allowed: only with SLOW_TESTS=1."""
import os
import time

import pytest

LIFE = 20
SKEW = 300  # TRUST_SKEW_S

pytestmark = pytest.mark.skipif(
    os.environ.get("SLOW_TESTS") != "1", reason="SLOW_TESTS=1 runs it")


def test_who_comes_late_gets_a_new_certificate_by_itself(world):
    w = world
    w.server({"fleet.certificate": f"{LIFE}s"})
    w.relay()
    dialled = w.tentacle("dialled", via="dc2-a")
    dials = w.tentacle("dials", via="dc2-a", dialled=False)
    w.tentacle("revoked", via="dc2-a")
    w.cli("machine", "revoke", "revoked")
    w.cli("run", "-m", "dials", "-m", "dialled", "--", "true")
    w.server_process.kill()
    time.sleep(LIFE + SKEW + 15)
    w.server_process.start()
    w.wait_for_server()
    for name in ("dialled", "dials"):
        w.wait_presence("machine", name)
    w.cli("run", "-m", "dials", "-m", "dialled", "--", "true")
    for machine in (dialled, dials):
        assert "the certificate has expired; asking" in machine.process.text()
    assert w.row("machine", "revoked")["presence"] != "online"
