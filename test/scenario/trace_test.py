"""One id leads through the logs of every hop."""
import re

import pytest


@pytest.fixture(scope="module")
def w(shared):
    debug = {"log.level": "debug"}
    shared.server(settings=debug)
    shared.relay("dc2-a", settings=debug)
    shared.relay("dc2-c", via="dc2-a", settings=debug)
    shared.tentacle("web-01", via="dc2-c", settings=debug)
    return shared


def test_the_id_of_a_seal_is_the_same_at_server_relays_and_machine(w):
    w.cli("run", "-m", "web-01", "--", "true")
    opened = re.findall(r"debug fleet ([0-9a-f]{12}): web-01: opening",
                        w.server_process.text())
    assert opened
    for trace in opened[-1:]:
        for name in ("dc2-a", "dc2-c"):
            assert f"debug relay {trace}: stream passed on" in \
                w.relays[name].text()
        assert f"debug session {trace}: server proved itself" in \
            w.machines["web-01"].process.text()


def test_a_refusal_is_found_by_the_id_that_the_server_logged(w):
    w.machines["web-01"].process.kill()
    w.wait_presence("machine", "web-01", "offline")
    w.cli("health", "run", "web-01", code=None)
    failed = re.findall(r"info fleet ([0-9a-f]{12}): not opened: (web-01: .*)",
                        w.server_process.text())
    assert failed
    assert any(f"info relay {trace}: stream refused: {text}" in
               w.relays["dc2-c"].text() for trace, text in failed)
