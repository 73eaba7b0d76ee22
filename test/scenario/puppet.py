"""Who holds a valid identity and says what it likes (test/tools/puppet.c):
messages inside seals are dicts here."""
import secrets
import subprocess
import threading
import time

from faults import TOOLS
from harness import wait_until

# --- msgpack, as much of it as messages use -----------------------------------


def pack(v):
    if isinstance(v, bool):
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        return (bytes([v]) if 0 <= v < 128
                else b"\xcf" + v.to_bytes(8, "big"))
    if isinstance(v, str):
        v = v.encode()
        return b"\xda" + len(v).to_bytes(2, "big") + v
    if isinstance(v, bytes):
        return b"\xc6" + len(v).to_bytes(4, "big") + v
    if isinstance(v, list):
        return b"\xdc" + len(v).to_bytes(2, "big") + b"".join(map(pack, v))
    return b"\xde" + len(v).to_bytes(2, "big") + b"".join(
        pack(k) + pack(x) for k, x in v.items())


def unpack(data):
    value, rest = _next(data)
    assert not rest
    return value


def _next(d):
    t, d = d[0], d[1:]
    fixed = {0xc2: False, 0xc3: True}
    if t in fixed:
        return fixed[t], d
    if t < 0x80:
        return t, d
    if 0xcc <= t <= 0xd3:
        size = 1 << (t & 3)
        return int.from_bytes(d[:size], "big", signed=t >= 0xd0), d[size:]
    sized = {0xc4: 1, 0xc5: 2, 0xc6: 4, 0xd9: 1, 0xda: 2, 0xdb: 4,
             0xdc: 2, 0xdd: 4, 0xde: 2, 0xdf: 4}
    if t in sized:
        n, d = int.from_bytes(d[:sized[t]], "big"), d[sized[t]:]
    else:
        n = t & (0x1f if 0xa0 <= t < 0xc0 else 0x0f)
    if 0xc4 <= t <= 0xc6:
        return d[:n], d[n:]
    if 0xa0 <= t < 0xc0 or 0xd9 <= t <= 0xdb:
        return d[:n].decode(), d[n:]
    is_map = 0x80 <= t < 0x90 or t >= 0xde
    items = []
    for _ in range(2 * n if is_map else n):
        item, d = _next(d)
        items.append(item)
    return (dict(zip(items[::2], items[1::2])) if is_map else items), d


# --- The process --------------------------------------------------------------


class Puppet:
    """A link with the identity in a directory; ends with the world."""

    def __init__(self, w, address, identity, start=None, journal=None,
                 nonce=None):
        self.instance = {"journal": journal or secrets.token_hex(16),
                         "start": start or int(time.time() * 1000),
                         "nonce": nonce or secrets.token_hex(16)}
        self.child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", str(TOOLS / "puppet"), address,
             str(identity), str(self.instance["start"]),
             self.instance["journal"], self.instance["nonce"]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env=w.environment)
        w.processes.append(self)
        self.lines, self.seals, self.asked = [], 0, 0
        threading.Thread(target=self._read, daemon=True).start()
        self.wait("up")

    def _read(self):
        for line in self.child.stdout:
            self.lines.append(line.rstrip("\n"))

    def find(self, start):
        """Lines that begin so, without that."""
        return [line[len(start):].strip() for line in list(self.lines)
                if (line + " ").startswith(start + " ")]

    def wait(self, start, count=1):
        """The newest line of so many that begin so."""
        return wait_until(lambda: self.find(start)[count - 1:],
                          f"{start} of {self.lines}")[-1]

    def write(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def end(self):
        self.child.stdin.close()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    # --- Seals, by number -----------------------------------------------------

    def open(self, to, service_class):
        """A server's: a seal past its greet; its number."""
        self.write(f"open {to} {service_class}")
        self.seals += 1
        self.wait(f"opened {self.seals}")
        return self.seals

    def heard(self, seal):
        return [unpack(bytes.fromhex(m)) for m in self.find(str(seal))]

    def say(self, seal, **message):
        self.write(f"{seal} {pack(message).hex()}")

    def wait_for(self, seal, wanted, what="a message"):
        """The first message that wanted() takes."""
        return wait_until(
            lambda: [m for m in self.heard(seal) if wanted(m)],
            f"{what} in {self.lines[-5:]}")[0]

    def ask(self, seal, **message):
        """Its reply."""
        self.asked += 1
        message["id"] = self.asked
        self.say(seal, **message)
        return self.wait_for(seal, lambda m: m.get("re") == message["op"]
                             and m["id"] == message["id"], message["op"])

    def closed(self, seal):
        """Why."""
        return self.wait(f"closed {seal}")
