"""What the demo does, in order, and what it claims to have seen."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import packages
from world import MACHINES, Failed, wait_for

HERE = pathlib.Path(__file__).resolve().parent
LINK_PORT, WEB_PORT, CHECK_PORT = 10933, 8080, 8081

# Run inside a network namespace: one line per address, "yes" or why not.
CONNECT = """
import socket, sys
for address in sys.argv[1:]:
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 2).close()
        print("yes")
    except OSError as e:
        print(e.strerror or e)
"""

NGINX = """# What the machine's administrator set up once; sites come by Longarm.
{user}daemon off;
worker_processes 1;
pid {home}/nginx/nginx.pid;
error_log {home}/nginx/error.log;
events {{}}
http {{
    include /etc/nginx/mime.types;
    access_log off;
    client_body_temp_path {home}/nginx/tmp; proxy_temp_path {home}/nginx/tmp;
    fastcgi_temp_path {home}/nginx/tmp; uwsgi_temp_path {home}/nginx/tmp;
    scgi_temp_path {home}/nginx/tmp;
    map $host $ready_file {{ default {home}/nginx/ready; }}
    include {home}/apps/swagger/swagger-site/current/site.conf*;
}}
"""

BALANCER = """# The load balancer of the private network: who answers 503 is skipped.
{user}daemon off;
worker_processes 1;
pid {home}/nginx/nginx.pid;
error_log {home}/nginx/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/nginx/tmp; proxy_temp_path {home}/nginx/tmp;
    fastcgi_temp_path {home}/nginx/tmp; uwsgi_temp_path {home}/nginx/tmp;
    scgi_temp_path {home}/nginx/tmp;
    upstream web {{
{servers}
    }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://web;
            proxy_next_upstream error timeout http_503;
            proxy_connect_timeout 1s;
        }}
    }}
}}
"""


class Story:
    def __init__(self, world):
        self.world = world
        self.began = time.monotonic()
        self.summary = {"isolated": world.isolated,
                        "server_reaches_machine_directly": None,
                        "machines": 0, "healthy": 0, "served_before": [],
                        "served_after": [], "seconds": 0}

    # --- telling ---------------------------------------------------------

    def head(self, text):
        passed = time.monotonic() - self.began
        print(f"\n== {text}  ({passed:.0f} s)", flush=True)

    @staticmethod
    def say(text):
        for line in text.rstrip().splitlines():
            print(f"   {line}", flush=True)

    def type(self, place, command, show=True, ok=(0,)):
        """A command as a user would type it there; its standard output."""
        print(f"{place}$ {command}", flush=True)
        child = self.world.popen(
            place, ["sh", "-c", command], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if show else subprocess.PIPE, text=True)
        lines, errors = [], []
        if not show:
            reader = threading.Thread(
                target=lambda: errors.append(child.stderr.read()))
            reader.start()
        for line in child.stdout:
            lines.append(line)
            if show:
                self.say(line)
        child.wait()
        if not show:
            reader.join()
        self.world.processes.remove(child)
        if child.returncode not in ok:
            raise Failed(f"`{command}` on {place} ended with exit code "
                         f"{child.returncode}\n{''.join(lines + errors)}")
        return "".join(lines)

    def ask(self, command, quiet=True):
        """JSON that the CLI prints in the office."""
        if not quiet:
            print(f"office$ {command}", flush=True)
        done = self.world.run("office", ["sh", "-c", command + " -o json"],
                              capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failed(f"`{command}`: {done.stderr}")
        return json.loads(done.stdout)

    # --- addresses -------------------------------------------------------

    def at(self, place, usual):
        """HOST:PORT of a port that is usually this one."""
        return f"{self.world.address(place)}:{self.world.port(place, usual)}"

    def relay_wan(self):
        return (f"{self.world.wan_address('edge')}:"
                f"{self.world.port('edge', 10953)}")

    # --- the story -------------------------------------------------------

    def networks(self):
        w = self.world
        self.head("Three networks" if w.isolated else "One network: loopback")
        self.say(f"office   {w.address('office'):<12} longarm-server\n"
                 f"edge     {w.address('edge'):<12} longarm-relay dc2-a\n"
                 + "\n".join(f"{m:<8} {w.address(m):<12} longarm-tentacle, "
                             "nginx" for m in MACHINES))
        for place in MACHINES:
            self.prepare_nginx(place, NGINX)
        for place in w.places():  # choose every port before any is used
            for usual in (8443, 10943, 10953, LINK_PORT, WEB_PORT, CHECK_PORT):
                w.port(place, usual)
        self.configure()
        self.prepare_nginx("edge", BALANCER, address=self.at("edge", 80),
                           servers="\n".join(
                               f"        server {self.at(m, WEB_PORT)} "
                               "max_fails=0;" for m in MACHINES))
        if not w.isolated:
            w.free_ports()

    def prepare_nginx(self, place, template, **more):
        home = self.world.home(place)
        (home / "nginx" / "tmp").mkdir(parents=True)
        (home / "nginx" / "nginx.conf").write_text(template.format(
            home=home, user="user root;\n" if os.getuid() == 0 else "", **more),
            encoding="utf-8")

    def nginx(self, place):
        # With us it ends by TERM: only so it takes its workers along.
        self.world.daemon(place, "nginx", [
            "nginx", "-p", str(self.world.home(place) / "nginx"), "-c",
            "nginx.conf"], end="TERM")

    def configure(self):
        """What would be /etc/longarm/*.conf."""
        files = {
            "office/server.conf":
                f"[server]\nstate = {self.world.home('office')}/state\n"
                f"name = office-1\nlisten = {self.at('office', 10943)}\n"
                f"[http]\nlisten = {self.at('office', 8443)}\n"
                f"names = {self.world.address('office')}\n",
            "edge/relay.conf":
                f"[relay]\nstate = {self.world.home('edge')}/state\n"
                f"listen = :{self.world.port('edge', 10953)}\n"}
        for place in MACHINES:
            home = self.world.home(place)
            files[f"{place}/tentacle.conf"] = (
                f"[tentacle]\nstate = {home}/state\napps = {home}/apps\n"
                f"home = {home}\nlisten = {self.at(place, LINK_PORT)}\n"
                f"advertise = {self.at(place, LINK_PORT)}\n")
        for name, text in files.items():
            (self.world.directory / name).write_text(text, encoding="utf-8")

    def server(self):
        self.head("A server in the office")
        self.type("office", "longarm-server init -c server.conf")
        print("office$ longarm-server serve -c server.conf &")
        self.world.daemon("office", "server",
                          ["longarm-server", "serve", "-c", "server.conf"])
        wait_for("the server's HTTP API", lambda: self.world.run(
            "office", ["curl", "-sko", "/dev/null",
                       f"https://{self.at('office', 8443)}/livez"]
        ).returncode == 0)
        self.type("office", "longarm login --file state/operator.login")
        self.type("office", "longarm environment create prod")

    def relay(self):
        self.head("A relay at the edge joins with one command")
        self.type("office",
                  "longarm token create --relay --name dc2-a --out dc2-a.token")
        self.carry("dc2-a.token", "edge")
        self.type("edge", "longarm-relay join -c relay.conf "
                  f"--token-file dc2-a.token {self.at('office', 10943)}")
        print("edge$ longarm-relay run -c relay.conf &")
        self.world.daemon("edge", "relay",
                          ["longarm-relay", "run", "-c", "relay.conf"])
        wait_for("relay dc2-a online", lambda: [
            r for r in self.ask("longarm relay list")
            if r["name"] == "dc2-a" and r["presence"] == "online"])
        self.type("office", "longarm relay list")

    def carry(self, name, place):
        """By hand, in one's pocket: as a person would bring a token."""
        target = self.world.home(place) / name
        shutil.copy(self.world.home("office") / name, target)
        target.chmod(0o600)

    def tentacles(self):
        self.head("Three machines join through the relay, each with one "
                  "command")
        for place in MACHINES:
            self.type("office", f"longarm token create --name {place} -e prod "
                      f"-r web --out {place}.token")
            self.carry(f"{place}.token", place)
            self.type(place, "longarm-tentacle join -c tentacle.conf "
                      f"--token-file {place}.token {self.at('edge', 10953)}")
            print(f"{place}$ longarm-tentacle run -c tentacle.conf &")
            self.world.daemon(place, "tentacle", [
                "longarm-tentacle", "run", "-c", "tentacle.conf"])
            self.nginx(place)
        wait_for("three machines online", lambda: len([
            m for m in self.ask("longarm machine list")
            if m["presence"] == "online"]) == len(MACHINES))
        self.type("office", "longarm machine list")
        self.summary["machines"] = len(self.ask("longarm machine list"))

    def health(self):
        self.head("A health check, through the relay")
        self.type("office", "longarm health run --environment prod")
        checked = self.ask("longarm health show --environment prod")
        self.summary["healthy"] = len(
            [m for m in checked if m["health"] == "healthy"])

    def ad_hoc(self):
        self.head("A command on all of them")
        self.type("office", "longarm run --environment prod --role web -- "
                  "'echo $(uname -n) is $Machine, up $(cut -d. -f1 "
                  "/proc/uptime) s'")

    def push(self):
        self.head("Packages: two published versions of swagger-ui-dist, as "
                  "npm made them")
        for version in packages.VERSIONS:
            file = os.path.relpath(
                packages.archive(self.world.directory, version),
                self.world.home("office"))
            self.type("office", f"longarm package push {file} "
                      f"--name swagger-ui --version {version}")
        shutil.copytree(HERE / "site", self.world.home("office") / "site")
        shutil.copy(HERE / "process.yaml", self.world.home("office"))
        self.type("office", "longarm package push site/ --name swagger-site "
                  "--version 1")
        self.type("office", "longarm project apply -f process.yaml")
        if not self.world.isolated:  # one host, so every machine its own ports
            for place in MACHINES:
                for name, usual in (("Port", WEB_PORT),
                                    ("CheckPort", CHECK_PORT)):
                    self.type("office", f"longarm variable set {name} "
                              f"{self.world.port(place, usual)} "
                              f"--project swagger --machine {place}")
        for version in packages.VERSIONS:
            self.type("office", f"longarm release create swagger --version "
                      f"{version} --package swagger-ui={version} "
                      "--package swagger-site=1")

    def served(self):
        """The version that each machine serves, asked in its own network."""
        versions = []
        for place in MACHINES:
            done = self.world.run("edge", [
                "curl", "-fsS", "--max-time", "5",
                f"http://{self.at(place, WEB_PORT)}/package.json"],
                capture_output=True, text=True)
            if done.returncode != 0:
                raise Failed(f"{place} serves nothing: {done.stderr}")
            versions.append(json.loads(done.stdout)["version"])
            print(f"edge$ curl http://{self.at(place, WEB_PORT)}/package.json "
                  f"# {place}: version {versions[-1]}")
        return versions

    def deploy(self, version):
        self.head(f"Deploy {version} to prod: two machines at a time")
        self.type("office",
                  f"longarm deploy swagger --release {version} --to prod --wait")
        return self.served()

    def second_deploy(self):
        """With visitors at the load balancer all the while."""
        self.nginx("edge")
        visitor = self.world.popen(
            "edge", ["/usr/bin/python3", "-B", str(HERE / "visitor.py"),
                     f"http://{self.at('edge', 80)}/package.json"]
            + [f"http://{self.at(m, WEB_PORT)}/ready" for m in MACHINES],
            stdout=subprocess.PIPE, text=True)
        if visitor.stdout.readline() != "ready\n":
            raise Failed("the load balancer serves nothing")
        self.summary["served_after"] = self.deploy(packages.VERSIONS[1])
        visitor.send_signal(signal.SIGTERM)
        seen = json.loads(visitor.communicate(timeout=10)[0])
        self.say(f"meanwhile {seen['visits']} visits through the load "
                 f"balancer: {seen['failed']} failed; at most "
                 f"{seen['most_drained']} machines out of it at a time")
        if seen["failed"] or seen["most_drained"] > 2:
            raise Failed(f"visitors saw it: {seen}")
        if seen["most_drained"] == 0:
            raise Failed("no machine was ever drained")

    def reach(self):
        self.head("Who reaches the machines?")
        targets = [self.at(m, p) for m in MACHINES
                   for p in (LINK_PORT, WEB_PORT)]

        def connects(place):
            def one(target):
                return self.world.run(
                    place, ["/usr/bin/python3", "-c", CONNECT, target],
                    capture_output=True, text=True).stdout.strip()
            with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
                answers = list(pool.map(one, targets))
            self.say(f"from {place}: " + ", ".join(
                f"{t} {a}" for t, a in zip(targets, answers)))
            return [a == "yes" for a in answers]

        if not all(connects("edge")):
            raise Failed("the edge does not reach every machine")
        self.summary["server_reaches_machine_directly"] = any(
            connects("office"))

    def check(self):
        s = self.summary
        first, second = packages.VERSIONS
        wrong = [text for held, text in (
            (s["machines"] == 3, "three machines joined"),
            (s["healthy"] == 3, "three machines are healthy"),
            (s["served_before"] == [first] * 3, f"all serve {first} first"),
            (s["served_after"] == [second] * 3, f"all serve {second} then"),
            (not s["server_reaches_machine_directly"] or not s["isolated"],
             "the server cannot reach the machines by itself"),
            (s["seconds"] <= 120, "two minutes suffice"),
        ) if not held]
        if wrong:
            raise Failed("not true: " + "; ".join(wrong))

    def play(self):
        self.networks()
        self.server()
        self.relay()
        self.tentacles()
        self.health()
        self.ad_hoc()
        self.push()
        self.summary["served_before"] = self.deploy(packages.VERSIONS[0])
        self.second_deploy()
        self.reach()

    def finish(self):
        self.summary["seconds"] = round(time.monotonic() - self.began, 1)
        path = self.world.directory / "summary.json"
        path.write_text(json.dumps(self.summary, indent=2) + "\n",
                        encoding="utf-8")

    def logs(self):
        for log in sorted(self.world.directory.glob("*/*.log")):
            lines = log.read_text(errors="replace").splitlines()
            if lines:
                print(f"\n--- the end of {log}", file=sys.stderr)
                print("\n".join(lines[-15:]), file=sys.stderr)


def keep(world):
    enter = world.way_in()
    print("\nKept up until Ctrl-C.  To look around:")
    if enter is None:
        print(f"   cd {world.home('office')}; export "
              f"LONGARM_LOGIN=$PWD/login PATH={world.programs}:$PATH\n"
              "   longarm machine list")
    else:
        print(f"   {enter} office                   a shell in the office\n"
              f"   {enter} office longarm task list\n"
              f"   {enter} office longarm run --all -- uptime\n"
              f"   {enter} web-01 curl -s localhost:{WEB_PORT}/package.json\n"
              f"   {enter} edge tail relay.log")
    sys.stdout.flush()
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        print()


def stop_on_term():
    def stop(_number, _frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def tell(world):
    """The whole story; the exit code."""
    stop_on_term()
    story = Story(world)
    code = 1
    try:
        try:
            story.play()
        finally:
            story.finish()
        story.check()
        print(f"\nAll of it held, in {story.summary['seconds']} s: "
              f"{world.directory / 'summary.json'}")
        if not world.isolated:
            print("Unproven here: that the server cannot reach the machines "
                  "by itself.")
        code = 0
        if os.environ.get("KEEP"):
            keep(world)
    except Failed as e:
        story.logs()
        print(f"\ndemo: {e}", file=sys.stderr)
        if os.environ.get("KEEP"):
            keep(world)
    except KeyboardInterrupt:
        code = 130
    finally:
        world.stop()
    return code
