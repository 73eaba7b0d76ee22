"""doctor: why can this program not reach that one?  On relays and machines."""
import json
import pathlib
import re
import socket
import threading

import pytest

from harness import free_port, wait_until, write


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a")
    shared.tentacle("web-01", via="dc2-a", dialled=False)
    shared.tentacle("web-02", via="dc2-a")
    return shared


def doctor(w, program, state, *words):
    return w.call([f"longarm-{program}", "doctor", "--state", str(state),
                   *words])


def findings(result):
    """[(ok or FAIL, check, detail)]"""
    return re.findall(r"(?m)^(ok  |FAIL) ([a-z]+): (.*)$", result.out)


def failures(result):
    return [(check, detail) for verdict, check, detail in findings(result)
            if verdict == "FAIL"]


def tree(state):
    """Every file with its content, but for the log of what runs anyway."""
    return {str(p.relative_to(state)): p.read_bytes()
            for p in sorted(pathlib.Path(state).rglob("*")) if p.is_file()}


def test_all_is_well_with_a_relay_that_runs_and_it_stays_connected(w):
    relay = w.relays["dc2-a"]
    before, log = tree(relay.state), relay.text()
    result = doctor(w, "relay", relay.state)
    assert result.code == 0, result
    checks = [check for verdict, check, _ in findings(result)]
    for check in ("config", "state", "clock", "identity", "tcp", "tls"):
        assert check in checks, result
    assert "server n1: it is server n1, proven by the cluster's root" \
        in result.out
    # No new life, no lock, no second link in place of the first.
    assert tree(relay.state) == before
    assert relay.text() == log
    assert w.row("relay", "dc2-a")["presence"] == "online"
    assert "dc2-a: disconnected" not in w.server_process.text()


def test_all_is_well_with_machines_also_where_the_relay_dials(w):
    dials = doctor(w, "tentacle", w.machines["web-01"].state)
    assert dials.code == 0, dials
    assert "relay dc2-a: it is relay dc2-a" in dials.out
    dialled = doctor(w, "tentacle", w.machines["web-02"].state)
    assert dialled.code == 0, dialled
    assert "relay dc2-a dials us" in dialled.out


def test_a_relay_says_why_it_cannot_reach_a_machine(w):
    """The question of every day: from this relay to that address."""
    state = w.relays["dc2-a"].state
    address = w.machines["web-02"].address()
    result = doctor(w, "relay", state, address)
    assert result.code == 0, result
    assert re.search(rf"{re.escape(address)}: it is tentacle [0-9a-f]{{32}}",
                     result.out), result
    dead = f"127.0.0.1:{free_port()}"
    result = doctor(w, "relay", state, dead)
    assert result.code == 9, result
    assert failures(result) == [
        ("tcp", f"{dead}: connection refused at {dead}")]
    assert "Is the program running there" in result.out  # the advice


def test_json_has_each_finding_with_reason_and_advice(w):
    dead = f"127.0.0.1:{free_port()}"
    result = doctor(w, "relay", w.relays["dc2-a"].state, dead, "-o", "json")
    assert result.code == 9, result
    rows = json.loads(result.out)
    assert rows[0]["check"] == "config" and rows[0]["ok"] is True
    assert rows[0]["reason"] is None
    assert rows[-1]["check"] == "tcp" and rows[-1]["ok"] is False
    assert rows[-1]["reason"] == "refused" and rows[-1]["advice"]


def test_a_name_is_told_with_its_addresses(w):
    result = doctor(w, "relay", w.relays["dc2-a"].state,
                    f"localhost:{w.links}")
    assert result.code == 0, result
    assert "localhost is 127.0.0.1\n" in result.out \
        or "localhost is ::1, 127.0.0.1\n" in result.out \
        or "localhost is 127.0.0.1, ::1\n" in result.out, result


def test_a_token_file_that_is_not_there_is_our_mistake(w):
    result = doctor(w, "tentacle", w.directory / "none", "--token-file",
                    "/nonexistent/token", w.upstream(None))
    assert result.code == 1, result
    assert failures(result)[0][0] == "token"
    assert "Check the name" in result.out


def test_a_name_that_nobody_knows_is_dns(w):
    result = doctor(w, "relay", w.relays["dc2-a"].state,
                    "nobody.invalid:10943")
    assert result.code == 9, result
    assert failures(result)[0][0] == "dns"
    assert "nobody.invalid" in failures(result)[0][1]


def test_a_proxy_that_is_dead_or_says_no_is_named(w):
    state, port = w.relays["dc2-a"].state, free_port()
    result = doctor(w, "relay", state, "--set",
                    f"link.proxy=http://127.0.0.1:{port}")
    assert result.code == 9, result
    assert failures(result) == [(
        "proxy", f"server n1: proxy 127.0.0.1:{port} on the way to "
        f"127.0.0.1:{w.links}: connection refused")]


@pytest.fixture
def silent():
    """Accepts, reads, says what it is told to, closes nothing."""
    sockets, done = [], threading.Event()

    def start(answer):
        s = socket.create_server(("127.0.0.1", 0))
        s.settimeout(0.1)
        sockets.append(s)

        def serve():
            while not done.is_set():
                try:
                    c, _ = s.accept()
                except OSError:
                    continue
                sockets.append(c)
                c.sendall(answer)
        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{s.getsockname()[1]}"
    yield start
    done.set()
    for s in sockets:
        s.close()


def test_a_program_that_speaks_no_tls_is_told_apart(w, silent):
    result = doctor(w, "relay", w.relays["dc2-a"].state,
                    silent(b"220 mail.example ESMTP\r\n"))
    assert result.code == 9, result
    assert [f[0] for f in failures(result)] == ["tls"]
    assert ("ok  ", "tcp") in [f[:2] for f in findings(result)]


def test_another_program_than_the_peer_is_identity(w):
    """The relay answers where the server was."""
    relay = w.relays["dc2-a"]
    peers = relay.state / "peers"
    text = peers.read_text()
    changed = text.replace(f":{w.links}", f":{relay.port}")
    assert changed != text
    peers.write_text(changed)
    try:
        result = doctor(w, "relay", relay.state)
    finally:
        peers.write_text(text)
    assert result.code == 9, result
    assert [f[0] for f in failures(result)] == ["identity"]


def test_before_joining_a_token_is_tried_against_an_address(w):
    token, state = w.token("new-01"), w.directory / "new-01"
    for via in (None, "dc2-a"):
        result = doctor(w, "tentacle", state, "--token-file", str(token),
                        w.upstream(via))
        assert result.code == 0, result
        assert "proven by the token's pin" in result.out
    assert not state.exists()
    secret = token.read_text().strip().split(".")[-1]
    assert secret not in result.out + result.err
    # The token is not used up.
    joined = w.call(["longarm-tentacle", "join", "--state", str(state),
                     "--token-file", str(token), w.upstream(None)])
    assert joined.code == 0, joined
    w.cli("machine", "remove", "new-01")


def test_a_token_of_another_cluster_does_not_fit(w):
    token = w.token("other")
    parts = token.read_text().strip().split(".")
    parts[2] = parts[2][::-1]
    token.write_text(".".join(parts) + "\n")
    result = doctor(w, "tentacle", w.directory / "other", "--token-file",
                    str(token), w.upstream(None))
    assert result.code == 9, result
    assert failures(result)[0][0] in ("tls", "identity"), result


def test_without_identity_or_token_it_says_how_to_join(w):
    result = doctor(w, "tentacle", w.directory / "nothing")
    assert result.code == 1, result
    assert [f[0] for f in failures(result)] == ["state", "identity"]
    assert "join --token-file" in result.out


def test_a_state_directory_open_to_others_fails(w, tmp_path):
    tmp_path.chmod(0o755)
    result = doctor(w, "relay", tmp_path)
    assert result.code == 1, result
    assert failures(result)[0][0] == "state"
    assert "chmod 700" in failures(result)[0][1]


def test_settings_that_are_wrong_are_told_with_their_line(w):
    file = write(w.directory / "wrong.conf", "[link]\nproxy = nowhere\n")
    result = doctor(w, "relay", w.relays["dc2-a"].state, "--config", str(file))
    assert result.code == 1, result
    assert [f[0] for f in failures(result)] == ["config"]
    assert "wrong.conf:2" in result.err


def test_credentials_for_the_proxy_that_others_can_read_fail(w):
    file = write(w.directory / "proxy.credentials", "ada:pw-of-the-proxy\n")
    result = doctor(w, "relay", w.relays["dc2-a"].state,
                    "--set", "link.proxy=http://127.0.0.1:1", "--set",
                    f"link.proxy-credentials={file}")
    assert result.code == 1, result
    assert failures(result)[0][0] == "proxy"
    assert "chmod 600" in failures(result)[0][1]
    assert "pw-of-the-proxy" not in result.out + result.err


def test_a_key_that_was_revoked_is_refused_by_the_peer(w):
    """It comes after our side of the handshake: doctor waits for it."""
    relay = w.relay("doomed")
    w.cli("relay", "revoke", "doomed")
    wait_until(lambda: "revoked" in relay.text(), "the relay told")
    relay.stop()
    result = doctor(w, "relay", relay.state)
    assert result.code == 9, result
    assert [f[0] for f in failures(result)] == ["identity"], result
    assert "our certificate was revoked" in failures(result)[0][1]
