"""Two networks with a long line between them: test/tools/delay_line.c.

    line = LongLine(world, delay_us=50000, rate=12500000)
    subprocess.run(line.near(["longarm-server", ...]))     # at 10.9.0.1
    subprocess.run(line.far(["longarm-tentacle", ...]))    # at 10.9.0.2

Needs no root where user namespaces are allowed; all is gone with the world.
"""
import os
import subprocess

from faults import TOOLS

NEAR, FAR = "10.9.0.1", "10.9.0.2"
HOLD = ["sh", "-c", "ip link set lo up && echo up && exec cat"]  # until we are gone
ENVIRONMENT = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
DIE = ["setpriv", "--pdeathsig", "KILL"]


def forbidden():
    """Why there can be no such line here; None: there can."""
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    try:
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--net", "true"],
            capture_output=True, text=True, timeout=20, check=False)
    except OSError as e:
        return str(e)
    return None if done.returncode == 0 else done.stderr.strip()


class LongLine:
    def __init__(self, world, **settings):
        self.children = []
        world.processes.append(self)
        near = self.hold(["unshare", "--user", "--map-root-user", "--net"])
        self._near = ["nsenter", f"--user=/proc/{near}/ns/user",
                      "--preserve-credentials", f"--net=/proc/{near}/ns/net"]
        far = self.hold(self._near + ["unshare", "--net"])
        self._far = self._near[:-1] + [f"--net=/proc/{far}/ns/net"]
        self.line = self.open(
            self._near + [str(TOOLS / "delay_line"), f"/proc/{near}/ns/net",
                          NEAR, f"/proc/{far}/ns/net", FAR]
            + [f"{name}={value}" for name, value in settings.items()])
        assert self.line.stdout.readline() == "ready\n"
        # The line's queue is the one that counts.
        for inside in self.near, self.far:
            subprocess.run(inside(["ip", "link", "set", "wire0",
                                   "txqueuelen", "10000"]),
                           check=True, env=ENVIRONMENT)

    def open(self, argv):
        child = subprocess.Popen(
            DIE + argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, start_new_session=True,
            env=ENVIRONMENT)
        self.children.append(child)
        return child

    def hold(self, argv):
        """The id of a process that is all there is in new namespaces."""
        child = self.open(argv + HOLD)
        assert child.stdout.readline() == "up\n"
        return child.pid

    def near(self, argv):
        return self._near + argv

    def far(self, argv):
        return self._far + argv

    def stat(self):
        """What was counted, as text."""
        self.line.stdin.write("stat\n")
        self.line.stdin.flush()
        return self.line.stdout.readline()

    def end(self):
        for child in reversed(self.children):
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()
