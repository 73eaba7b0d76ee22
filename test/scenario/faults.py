"""What stands between programs and does them harm: test/tools/.

    proxy = Proxy(world, "edge", target=f"127.0.0.1:{world.links}")
    proxy.tell("cut up 1234 reset")
    proxy.stat()["back_ms"]
"""
import pathlib
import subprocess

from harness import BIN

TOOLS = pathlib.Path(BIN).parent / "tools"


class Proxy:
    """test/tools/fault_proxy.c; commands in test/tools/fault_line.h."""

    def __init__(self, world, target):
        self.child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", str(TOOLS / "fault_proxy"),
             "127.0.0.1:0", target],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True)
        world.processes.append(self)
        self.address = self.child.stdout.readline().split()[1]
        self.port = int(self.address.rsplit(":", 1)[1])

    def tell(self, command):
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline().strip()
        assert answer.startswith("ok"), (command, answer)
        return answer

    def stat(self):
        """{open, accepted, up, down, trips, again_ms, back_ms}"""
        return {name: int(value) for name, value in
                (word.split("=") for word in self.tell("stat").split()[1:])}

    def end(self):
        self.child.stdin.close()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()
