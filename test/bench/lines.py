"""What the limit of the kernel's queue (common/send_cap.h) does on long lines that
are not clean: one row, `lines`, only when it is asked for.

On a line of 100 Mbit/s, 10 ms there and back, with a queue of 256 KiB in front of
it, for cubic and for bbr: bulk as fast as it goes with 200 requests a second beside
it, and plain TCP on the same line in its turn.
"""
import contextlib
import threading

import peers
from place import LINE_FAR, LINE_NEAR
from rows import Row, both

RATE = 12500000
CLEAN = {"delay_us": 5000, "rate": RATE, "queue_bytes": 262144, "loss_ppm": 0,
         "jitter_us": 0, "reorder_ppm": 0}
# Name: what is different on the line, the relay's words, plain TCP's
LINES = {
    "clean": ({}, ["bulk=1"], 1),
    "loss_0.1_percent": ({"loss_ppm": 1000}, ["bulk=1"], 1),
    "jitter_3ms": ({"jitter_us": 3000}, ["bulk=1"], 1),
    "reorder_0.1_percent": ({"reorder_ppm": 1000}, ["bulk=1"], 1),
    "beside_plain_tcp": ({}, ["bulk=1"], 1),
    "slower_in_the_middle": ({}, ["bulk=1"], 1),
    "eight_connections": ({}, ["machines=8", "bulk=8", "spread=1"], 8),
    "download": ({}, ["bulk=1", "down=1"], 1),
}


class Lines(Row):
    """Bulk and requests over lines with loss, jitter, others, another rate; cubic
    and bbr; and plain TCP."""

    warm, controls = 2, ("cubic", "bbr")

    def open(self):
        self.far = self.place.long_line(**CLEAN)
        self.ns = f"far_ns={self.place.file(self.far)}"

    def close(self):
        super().close()
        self.place.tune([])

    def plain(self, count, seconds):
        port = self.place.port()
        return self.place.load(
            "bench_tcp", f"connect={LINE_FAR}:{port}",
            f"listen={LINE_FAR}:{port}", self.ns, "tls=0", f"bulk={count}",
            *self.times(self.warm, seconds))

    @contextlib.contextmanager
    def meanwhile(self, name):
        """What happens on the line while one is measured."""
        helper = None
        if name == "beside_plain_tcp":
            helper = threading.Thread(
                target=self.plain, args=(1, self.seconds + 1))
        elif name == "slower_in_the_middle":
            helper = threading.Timer(
                self.warm + self.seconds / 2,
                lambda: self.place.change_line(rate=RATE // 5))
        try:
            if helper:
                helper.start()
            yield
        finally:
            if helper:
                helper.join()
            self.place.change_line(**CLEAN)

    def one(self, name, relay):
        rules, words, count = LINES[name]
        self.place.change_line(**rules)
        with self.meanwhile(name):
            ours = both(relay.load(
                self.ns, f"far={LINE_NEAR}:{relay.port}", *words,
                "ping_us=5000", *self.times(self.warm)))
        self.place.change_line(**rules)
        with self.meanwhile(name):
            plain = self.plain(count, self.seconds)
        ours["plain_mb_s"] = round(plain["bytes"] / plain["us"], 2)
        ours["vs_plain"] = round(ours["mb_s"] / ours["plain_mb_s"], 3)
        return ours

    def round(self):
        found = {}
        for control in self.controls:
            self.place.tune([], control)
            self.place.tune(self.place.enter(self.far), control)
            relay = peers.Relay(self.place)
            try:
                for name in LINES:
                    found[f"{control}_{name}"] = self.one(name, relay)
            finally:
                relay.close()
        return found, {}
