"""Dialling through real proxies: HTTP CONNECT (tinyproxy), SOCKS5 (microsocks)."""
import os
import shutil
import socket
import threading
import time

import pytest

from harness import LINK_TIMERS, RELAY_TIMERS, free_port, wait_until, write

USER, PASSWORD = "ada", "s3cret-of-the-proxy"
KINDS = ("http", "socks5")


@pytest.fixture(scope="module")
def w(shared):
    for program in ("tinyproxy", "microsocks"):
        assert shutil.which(program, path=shared.environment["PATH"]), \
            f"{program} is missing: scripts/setup"
    shared.server()
    return shared


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Proxy:
    """A real one that wants credentials."""

    def __init__(self, w, kind, only_port=None):
        self.kind, self.port = kind, free_port()
        if kind == "http":
            file = write(w.directory / f"tinyproxy-{self.port}.conf", "\n".join([
                f"Port {self.port}", "Listen 127.0.0.1", "Timeout 600",
                f"BasicAuth {USER} {PASSWORD}", "LogLevel Connect",
                *([f"ConnectPort {only_port}"] if only_port else [])]) + "\n")
            argv = ["tinyproxy", "-d", "-c", str(file)]
        else:
            argv = ["microsocks", "-i", "127.0.0.1", "-p", str(self.port),
                    "-u", USER, "-P", PASSWORD]
        self.process = w.spawn(f"{kind}-{self.port}", argv)
        wait_until(lambda: listens(self.port), f"{kind} proxy")

    def url(self):
        return f"{self.kind}://127.0.0.1:{self.port}"

    def settings(self, credentials):
        return {"link.proxy": self.url(),
                "link.proxy-credentials": str(credentials)}


def flags(settings):
    return [x for k, v in settings.items() for x in ("--set", f"{k}={v}")]


def credentials(w, name, text=f"{USER}:{PASSWORD}\n", mode=0o600):
    return write(w.directory / f"{name}.credentials", text, mode)


def join(w, name, settings, address=None):
    state = w.directory / name / "state"
    state.parent.mkdir()
    token = w.token(name, "--relay")
    return state, w.call(
        ["longarm-relay", "join", "--state", str(state), "--token-file",
         str(token), "--timeout", "10s", address or f"127.0.0.1:{w.links}"]
        + flags(settings))


@pytest.mark.parametrize("kind", KINDS)
def test_a_relay_joins_and_dials_the_server_through_a_proxy(w, kind):
    """By name: the proxy resolves it.  And again after the proxy was away."""
    name = f"by-{kind}"
    proxy = Proxy(w, kind)
    settings = proxy.settings(credentials(w, name))
    state, joined = join(w, name, settings, f"localhost:{w.links}")
    assert joined.code == 0, joined
    assert f"localhost:{w.links}" in (state / "peers").read_text()
    relay = w.spawn(name, [
        "longarm-relay", "run", "--state", str(state), "--listen",
        "127.0.0.1:0"] + flags(RELAY_TIMERS | LINK_TIMERS | settings))
    w.wait_presence("relay", name)
    proxy.process.kill()
    w.wait_presence("relay", name, "offline")
    wait_until(lambda: f"proxy 127.0.0.1:{proxy.port} on the way to "
               f"localhost:{w.links}: connection refused" in relay.text(),
               "the dead proxy by name")
    proxy.process.start()
    w.wait_presence("relay", name)
    assert PASSWORD not in relay.text() + joined.out + joined.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another")
def test_a_machine_keeps_what_its_network_process_cannot_read(w):
    proxy = Proxy(w, "http")
    machine = w.tentacle("other-user", dialled=False, settings=proxy.settings(
        credentials(w, "other-user")) | {"tentacle.net-user": "nobody"})
    w.cli("run", "-m", "other-user", "--", "true")
    proxy.process.kill()
    w.wait_presence("machine", "other-user", "offline")
    proxy.process.start()
    w.wait_presence("machine", "other-user")
    assert PASSWORD not in machine.process.text()


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_credentials_are_the_proxys_refusal(w, kind):
    name = f"wrong-{kind}"
    proxy = Proxy(w, kind)
    for number, text in enumerate((f"{USER}:wrong-{PASSWORD}\n", None)):
        settings = proxy.settings(
            credentials(w, name, text or f"{USER}:{PASSWORD}\n"))
        if text is None:
            del settings["link.proxy-credentials"]
        _, joined = join(w, f"{name}-{number}", settings)
        assert joined.code == 8, joined
        assert f"proxy 127.0.0.1:{proxy.port} refused CONNECT to " \
            f"127.0.0.1:{w.links}: " in joined.err
        assert "proxy named" in joined.err  # the advice
        assert PASSWORD not in joined.err + joined.out
        if kind == "http":
            assert "401 Unauthorized" in joined.err \
                or "407 Proxy Authentication Required" in joined.err
        elif text is None:
            assert "it wants credentials" in joined.err
        else:
            assert "does not accept the credentials" in joined.err


def test_what_the_proxys_rules_forbid_is_told_in_its_words(w):
    proxy = Proxy(w, "http", only_port=443)
    _, joined = join(w, "forbidden",
                     proxy.settings(credentials(w, "forbidden")))
    assert joined.code == 8, joined
    assert f"proxy 127.0.0.1:{proxy.port} refused CONNECT to " \
        f"127.0.0.1:{w.links}: 403 " in joined.err


@pytest.mark.parametrize("kind", KINDS)
def test_a_dead_target_behind_a_proxy_is_the_proxys_answer(w, kind):
    proxy = Proxy(w, kind)
    dead = f"127.0.0.1:{free_port()}"
    _, joined = join(w, f"dead-{kind}",
                     proxy.settings(credentials(w, f"dead-{kind}")), dead)
    assert joined.code == 8, joined
    assert f"refused CONNECT to {dead}: " in joined.err
    assert ("500 " if kind == "http" else "connection refused") in joined.err


@pytest.mark.parametrize("kind", KINDS)
def test_a_dead_proxy_is_named(w, kind):
    port = free_port()
    _, joined = join(w, f"gone-{kind}",
                     {"link.proxy": f"{kind}://127.0.0.1:{port}"})
    assert joined.code == 8, joined
    assert f"proxy 127.0.0.1:{port} on the way to 127.0.0.1:{w.links}: " \
        "connection refused" in joined.err


def test_a_program_of_the_other_kind_is_no_proxy(w):
    """The setting says http, but it is SOCKS; and the other way round, where
    an HTTP proxy waits for the end of a line that never comes."""
    for kind, other in (("http", "socks5"), ("socks5", "http")):
        proxy = Proxy(w, kind)
        _, joined = join(w, f"mixed-{kind}", {
            "link.connect": "1s",
            "link.proxy": f"{other}://127.0.0.1:{proxy.port}"})
        assert joined.code == 8, joined
        assert f"proxy 127.0.0.1:{proxy.port} " in joined.err


def test_hosts_in_no_proxy_are_dialled_directly(w):
    _, joined = join(w, "exempt", {
        "link.proxy": f"http://127.0.0.1:{free_port()}",
        "link.no-proxy": ".example, 127.0.0.0/8"})
    assert joined.code == 0, joined


def test_credentials_that_others_can_read_are_not_used(w):
    proxy = Proxy(w, "http")
    _, joined = join(w, "open", proxy.settings(
        credentials(w, "open", mode=0o644)))
    assert joined.code == 8, joined
    assert "chmod 600" in joined.err


def test_a_proxy_that_is_no_url_is_found_by_config_check(w):
    file = write(w.directory / "bad.conf", "[link]\nproxy = 10.0.0.9:3128\n")
    checked = w.call(["longarm-relay", "config", "check", "--config",
                      str(file)])
    assert checked.code == 1, checked
    assert "bad.conf:2" in checked.err
    assert "http://HOST:PORT or socks5://HOST:PORT" in checked.err


def test_a_server_dials_a_machine_through_a_proxy(w):
    """Whoever dials may need one: here the server, all its links."""
    proxy = Proxy(w, "socks5")
    w.server_process.stop()
    w.server_process.argv += flags(
        proxy.settings(credentials(w, "server")))
    w.server_process.start()
    w.wait_for_server()
    w.tentacle("web-01")
    assert "by proxy" in w.cli("run", "-m", "web-01", "--",
                               "echo by proxy").out
    proxy.process.kill()
    wait_until(lambda: f"proxy 127.0.0.1:{proxy.port}" in
               (w.row("machine", "web-01")["presence_text"] or ""),
               "the proxy in the machine's presence")


class OddProxy:
    """Speaks HTTP as told: answer(connection) before it carries anything."""

    def __init__(self, answer, target=None):
        self.answer, self.target = answer, target
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        self.asked, self.open = b"", [self.door]
        threading.Thread(target=self.serve, daemon=True).start()

    def settings(self):
        return {"link.proxy": f"http://127.0.0.1:{self.port}",
                "link.connect": "1s"}

    def serve(self):
        while True:
            try:
                near, _ = self.door.accept()
                self.open.append(near)
                self.asked = near.recv(4096)
                if self.answer(near) and self.target:
                    far = socket.create_connection(self.target)
                    self.open.append(far)
                    for pair in ((near, far), (far, near)):
                        threading.Thread(target=self.carry, args=pair,
                                         daemon=True).start()
            except OSError:
                return

    @staticmethod
    def carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        for one in self.open:
            one.close()


@pytest.fixture
def odd():
    made = []

    def make(*args):
        made.append(OddProxy(*args))
        return made[-1]
    yield make
    for one in made:
        one.close()


ANSWER = b"HTTP/1.1 200 OK\r\nVia: odd\r\n\r\n"


def test_an_answer_that_comes_byte_by_byte_is_one_answer(w, odd):
    def trickle(near):
        for i in range(len(ANSWER)):
            near.sendall(ANSWER[i:i + 1])
            time.sleep(0.005)
        return True
    proxy = odd(trickle, ("127.0.0.1", w.links))
    _, joined = join(w, "trickle", proxy.settings())
    assert joined.code == 0, joined
    assert proxy.asked.startswith(
        f"CONNECT 127.0.0.1:{w.links} HTTP/1.1\r\n".encode())


def test_an_answer_cut_anywhere_is_told(w, odd):
    state, token = w.directory / "cut", w.token("cut", "--relay")
    for k in range(0, len(ANSWER), 4):
        def cut(near, k=k):
            near.sendall(ANSWER[:k])
            near.close()
        joined = w.call(
            ["longarm-relay", "join", "--state", str(state), "--token-file",
             str(token), f"127.0.0.1:{w.links}"] + flags(odd(cut).settings()))
        assert joined.code == 8, joined
        assert f"did not open a way to 127.0.0.1:{w.links}: it closed the " \
            "connection" in joined.err, joined


def test_a_proxy_that_never_answers_is_given_up(w, odd):
    proxy = odd(lambda near: False)
    _, joined = join(w, "hangs", proxy.settings())
    assert joined.code == 8, joined
    assert f"proxy 127.0.0.1:{proxy.port} did not open a way to " \
        f"127.0.0.1:{w.links}: no answer" in joined.err


def test_a_proxy_that_answers_without_end_is_given_up(w, odd):
    def babble(near):
        near.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 2000)
        return False
    _, joined = join(w, "babble", odd(babble).settings())
    assert joined.code == 8, joined
    assert "answered more than 8 KiB" in joined.err


def test_a_proxy_that_opens_tls_is_refused_for_it(w, odd):
    """Whoever sits between cannot stand in for the server."""
    relay = w.relay("stand-in")
    proxy = odd(lambda near: near.sendall(ANSWER) is None,
                ("127.0.0.1", w.http))
    doctored = w.call(
        ["longarm-relay", "doctor", "--state", str(relay.state)]
        + flags(proxy.settings()))
    assert doctored.code == 9, doctored
    assert "ok   proxy: server n1: it opened a way to" in doctored.out
    assert "FAIL tls: " in doctored.out or "FAIL identity: " in doctored.out
