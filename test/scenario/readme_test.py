"""The first use in README.md, typed as it stands there."""

import os
import pathlib
import re
import socket
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LONGARM_BIN", TOP / "build/cc/bin"))


def free_ports(count):
    """Ports that nobody has now; loopback only."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def typed(ports):
    """The commands, at other ports, each with time to start."""
    text = (TOP / "README.md").read_text().split("## First use")[1]
    text = re.search(r"(?ms)^```\n(.*?)^```", text).group(1)
    for usual, ours in zip(("10943", "10953"), ports):
        text = text.replace(f"localhost:{usual}", f"localhost:{ours}")
    text = text.replace("export PATH=$PWD/build/cc/bin:$PATH", "")
    return text.replace("sleep 1", "sleep 4")


def test_the_first_use_ends_with_a_page_on_a_machine(tmp_path):
    link, relay, http = free_ports(3)
    env = {"HOME": str(tmp_path), "PATH": f"{BIN}:{os.environ['PATH']}",
           "LANG": "C.UTF-8",
           "LONGARM_SERVER_SERVER_LISTEN": f"localhost:{link}",
           "LONGARM_SERVER_HTTP_LISTEN": f"localhost:{http}",
           "LONGARM_RELAY_RELAY_LISTEN": f"localhost:{relay}"}
    script = ("set -eu\ntrap 'kill $(jobs -p); wait' EXIT\n"
              + typed((link, relay)))
    result = subprocess.run(["bash", "-c", script], env=env, cwd=tmp_path,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, timeout=240)
    logs = "\n".join(f"{p.name}: {p.read_text()[-2000:]}"
                     for p in (tmp_path / "lab").glob("*.log"))
    assert result.returncode == 0, result.stdout + logs
    assert result.stdout.rstrip().endswith("Hello from prod"), result.stdout
    assert re.search(r"(?m)I am web-01$", result.stdout), result.stdout
    # What each command says is next, is what the page says.
    for next_one in ("longarm-server serve --state server",
                     "longarm-relay run --state relay",
                     "longarm-tentacle run --state web-01"):
        assert re.search(rf"(?m) {next_one}$", result.stdout), result.stdout
    for secret in ("edge.token", "web.token", "login",
                   "server/operator.login", "server/master.key"):
        mode = (tmp_path / "lab" / secret).stat().st_mode
        assert mode & 0o077 == 0, secret
