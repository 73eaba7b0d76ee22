#!/usr/bin/python3
"""journal_forms.py [DIRECTORY]: what a synced record costs, by the form that it has.

One frame with a CRC appended and synced, as tentacle/journal.c does, against one
row committed by SQLite (WAL, synchronous=FULL), in turns; and how many syncs each
does, counted by strace where that is there.  For docs/decisions.md.
"""
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib

RECORDS, SIZE, ROUNDS = 200, 200, 3


def appended(directory, count):
    fd = os.open(f"{directory}/journal", os.O_CREAT | os.O_WRONLY
                 | os.O_APPEND, 0o600)
    # Room is reserved ahead, so that a sync writes no new length.
    os.posix_fallocate(fd, 0, 1 << 20)
    at = 0
    for n in range(count):
        body = n.to_bytes(8, "little") + bytes(SIZE)
        frame = (b"LgF1" + len(body).to_bytes(4, "little")
                 + zlib.crc32(body).to_bytes(4, "little") + body)
        os.pwrite(fd, frame, at)
        at += len(frame)
        os.fdatasync(fd)
    os.close(fd)


def committed(directory, count):
    db = sqlite3.connect(f"{directory}/journal.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE record (counter INTEGER PRIMARY KEY, body BLOB)")
    for n in range(count):
        db.execute("INSERT INTO record VALUES (?, ?)", (n, bytes(SIZE)))
    db.close()


FORMS = {"appended": appended, "committed": committed}


def in_a_place(where, form, count):
    directory = tempfile.mkdtemp(dir=where)
    try:
        began = time.monotonic()
        FORMS[form](directory, count)
        return (time.monotonic() - began) * 1e6 / count
    finally:
        shutil.rmtree(directory)


def syncs(where, form):
    """By record, less what opening and closing costs."""
    def calls(count):
        told = subprocess.run(
            ["strace", "-f", "-e", "trace=fsync,fdatasync", sys.executable,
             __file__, where, form, str(count)], capture_output=True,
            text=True, check=True)
        return told.stderr.count("sync(")
    return (calls(RECORDS + 10) - calls(10)) / RECORDS


def main():
    where = sys.argv[1] if len(sys.argv) > 1 else "."
    if len(sys.argv) > 3:
        in_a_place(where, sys.argv[2], int(sys.argv[3]))
        return
    took = {form: [] for form in FORMS}
    for _ in range(ROUNDS):
        for form in FORMS:
            took[form].append(in_a_place(where, form, RECORDS))
    for form, us in took.items():
        counted = f"{syncs(where, form):.2f}" if shutil.which("strace") else "?"
        print(f"{form}: {statistics.median(us):.0f} us a record "
              f"({min(us):.0f} to {max(us):.0f}), {counted} syncs a record")


main()
