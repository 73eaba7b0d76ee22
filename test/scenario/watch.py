"""How late a server answers and its logs are told; a process of its own, so
that what a bench computes delays nothing here.

    watch.py readyz PORT FILE       asks /readyz each 50 ms, until SIGTERM
    watch.py lines FILE < LINES     lines that begin with the second they were
                                    written, as `task log --follow` shows them

A line of FILE is what has come: the second, and how late it was.  A question
that could not be asked in time, as the one before was late, counts from when it
was due.
"""
import http.client
import ssl
import sys
import time

STEP = 0.05


def ask(port, connection):
    """The connection that is left."""
    if connection is None:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=60,
            context=ssl._create_unverified_context())
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        return connection
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return ask(port, None)


def readyz(port, out):
    connection, due = None, time.time()
    while True:
        try:
            connection = ask(port, connection)
        except ConnectionRefusedError:
            return  # it has ended, and so does the bench
        now = time.time()
        print(f"{now:.4f} {now - due:.4f}", file=out, flush=True)
        due += STEP
        time.sleep(max(0.0, due - time.time()))


def lines(out):
    for line in sys.stdin:
        now, stamp = time.time(), line.split("|", 1)[-1].split()
        if stamp:
            print(f"{now:.4f} {now - float(stamp[0]):.4f}", file=out,
                  flush=True)


if __name__ == "__main__":
    with open(sys.argv[-1], "w", encoding="ascii") as f:
        if sys.argv[1] == "readyz":
            readyz(int(sys.argv[2]), f)
        else:
            lines(f)
