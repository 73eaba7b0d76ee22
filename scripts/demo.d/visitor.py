"""visitor.py URL READY-URL...: visit a site until told to stop (TERM).

Counts visits and failures, and at how many READY-URLs at a time nobody is
ready.  Prints "ready" after the first success, and JSON at the end.
"""
import json
import signal
import sys
import time
import urllib.request

# Never through a proxy of the environment.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
stopped = False


def stop(_number, _frame):
    global stopped
    stopped = True


def works(url):
    try:
        with opener.open(url, timeout=3) as answer:
            answer.read()
            return answer.status == 200
    except OSError:
        return False


def main():
    site, ready = sys.argv[1], sys.argv[2:]
    seen = {"visits": 0, "failed": 0, "most_drained": 0}
    signal.signal(signal.SIGTERM, stop)
    end = time.monotonic() + 10
    while not works(site):
        if time.monotonic() > end:
            return 1
        time.sleep(0.1)
    print("ready", flush=True)
    while not stopped:
        seen["visits"] += 1
        seen["failed"] += not works(site)
        drained = sum(not works(url) for url in ready)
        seen["most_drained"] = max(seen["most_drained"], drained)
        time.sleep(0.02)
    print(json.dumps(seen), flush=True)
    return 0


sys.exit(main())
