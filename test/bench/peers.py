"""What the relay is compared with, from Debian's packages: same keys, TLS 1.3,
AES-128-GCM, certificates demanded and verified on both sides, no resumption."""
import os
import pathlib
import shutil
import subprocess
import time

from place import NotHere, find, first_line, wait_port

HOST = "127.0.0.1"
USER = "longarm-bench"
STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"


class Relay:
    """Ours."""

    name = "longarm"

    def __init__(self, place):
        self.place, self.port = place, place.port()
        state = place.directory / f"relay-{self.port}"
        shutil.copytree(place.keys / "relay", state)
        self.child = place.start(
            place.pinned([place.bin / "longarm-relay", "run", "--state", state,
                          "--listen", f":{self.port}", "--set",
                          "log.level=warn", "--set", "relay.presence=20ms"]),
            "relay.log")
        wait_port("", self.port)
        self.pid = self.child.pid

    def load(self, *words):
        return self.place.load(
            "bench_link", f"{HOST}:{self.port}", f"watch={self.pid}", *words)

    def idle(self, *words):
        return self.place.idle_load(
            "bench_link", f"{HOST}:{self.port}", f"watch={self.pid}", *words)

    def close(self):
        self.place.stop(self.child)


class TlsRelay:
    """One that passes connections on."""

    def __init__(self, place):
        self.place, self.port, self.sink = place, place.port(), place.port()
        self.child, self.pid = self.run()
        wait_port(HOST, self.port)

    def words(self):
        return (f"connect={HOST}:{self.port}", f"listen={HOST}:{self.sink}",
                f"watch={self.pid}")

    def load(self, *words):
        return self.place.load("bench_tcp", *self.words(), *words)

    def idle(self, *words):
        return self.place.idle_load("bench_tcp", *self.words(), *words)

    def close(self):
        self.place.stop(self.child)


class Haproxy(TlsRelay):
    name = "haproxy"
    tuning = ""

    @staticmethod
    def version():
        return first_line([find("haproxy"), "-v"])

    def run(self):
        pem, root = self.place.keys / "middle.pem", self.place.keys / "root.pem"
        tls = (f"ssl crt {pem} ca-file {root} verify required ssl-min-ver "
               "TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256")
        config = self.place.directory / f"{self.name}-{self.port}.cfg"
        config.write_text(f"""global
    nbthread 1
    maxconn 8000
    tune.ssl.cachesize 0
    {self.tuning}
defaults
    mode tcp
    timeout connect 10s
    timeout client 5m
    timeout server 5m
listen relay
    bind {HOST}:{self.port} {tls} curves X25519 no-tls-tickets backlog 4096
    server sink {HOST}:{self.sink} {tls} no-ssl-reuse
""", encoding="ascii")
        child = self.place.start(
            self.place.pinned([find("haproxy"), "-db", "-f", config]),
            "haproxy.log")
        return child, child.pid


class QuickHaproxy(Haproxy):
    """Tuned for latency, as its manual advises."""

    name = "haproxy_lowlatency"
    tuning = "tune.sched.low-latency on\n    tune.runqueue-depth 20"


class Nginx(TlsRelay):
    name = "nginx"

    @staticmethod
    def version():
        if not os.path.exists(STREAM):
            raise NotHere("nginx's stream module is not installed "
                          "(libnginx-mod-stream)")
        return first_line([find("nginx"), "-v"])

    def run(self):
        pem, root = self.place.keys / "middle.pem", self.place.keys / "root.pem"
        base = self.place.directory / f"nginx-{self.port}"
        config = base.with_suffix(".conf")
        config.write_text(f"""load_module {STREAM};
worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid {base}.pid;
error_log {base}.log crit;
events {{ worker_connections 16384; }}
stream {{
    tcp_nodelay on;
    server {{
        listen {HOST}:{self.port} ssl backlog=4096;
        ssl_certificate {pem};
        ssl_certificate_key {pem};
        ssl_client_certificate {root};
        ssl_verify_client on;
        ssl_verify_depth 3;
        ssl_protocols TLSv1.3;
        ssl_ecdh_curve X25519;
        ssl_session_cache off;
        ssl_session_tickets off;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        proxy_pass {HOST}:{self.sink};
        proxy_ssl on;
        proxy_ssl_certificate {pem};
        proxy_ssl_certificate_key {pem};
        proxy_ssl_trusted_certificate {root};
        proxy_ssl_verify on;
        proxy_ssl_verify_depth 3;
        proxy_ssl_name 7f000000000000000000000000000001;
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_session_reuse off;
        proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    }}
}}
""", encoding="ascii")
        child = self.place.start(
            self.place.pinned([find("nginx"), "-c", config]), "nginx.log")
        wait_port(HOST, self.port)
        with open(f"/proc/{child.pid}/task/{child.pid}/children",
                  encoding="ascii") as f:
            return child, int(f.read().split()[0])


class Stunnel(TlsRelay):
    """A pair: one takes TLS off, the other puts it on again."""

    name = "stunnel"

    @staticmethod
    def version():
        return first_line([find("stunnel"), "-version"])

    def run(self):
        pem, root = self.place.keys / "middle.pem", self.place.keys / "root.pem"
        middle = self.place.port()
        config = self.place.directory / f"stunnel-{self.port}.conf"
        common = (f"cert = {pem}\nCAfile = {root}\nverifyChain = yes\n"
                  "sslVersionMin = TLSv1.3\n"
                  "ciphersuites = TLS_AES_128_GCM_SHA256\n"
                  "curves = X25519\n")
        config.write_text(f"""foreground = yes
pid =
syslog = no
debug = 3
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[in]
accept = {HOST}:{self.port}
connect = {HOST}:{middle}
requireCert = yes
{common}
[out]
client = yes
accept = {HOST}:{middle}
connect = {HOST}:{self.sink}
{common}""", encoding="ascii")
        child = self.place.start(
            self.place.pinned([find("stunnel"), config]), "stunnel.log")
        return child, child.pid


class Ssh:
    """A jump host, a target behind it, and masters that stay."""

    name = "ssh"

    @staticmethod
    def version():
        find("sshd")
        return first_line([find("ssh"), "-V"])

    def __init__(self, place, target_ns=None, target_host=HOST, pinned=True):
        """target_ns: the process that holds the target's network."""
        if os.geteuid() != 0 or "LONGARM_BENCH_ROOT" not in os.environ:
            raise NotHere("sshd needs root")
        self.place = place
        self.dir = place.directory / f"ssh-{place.port()}"
        self.dir.mkdir(mode=0o755)
        self.jump, self.target = place.port(), place.port()
        self.target_host, self.masters, self.children = target_host, [], []
        self.make_user()
        self.make_keys()
        sshd = find("sshd")
        prefix = [] if target_ns is None else place.enter(target_ns)
        for port, where, core in ((self.jump, [], place.core),
                                  (self.target, prefix, place.load_core)):
            argv = where + [sshd, "-D", "-e", "-f", self.sshd_config(port)]
            if pinned:
                argv = place.pinned(argv, core)
            self.children.append(place.start(argv, f"sshd-{port}.log"))
        wait_port("", self.jump)
        time.sleep(0.3)  # the other may be in another network
        self.config = self.client_config()

    def make_user(self):
        """Root's shell reads files when it starts, which would be measured.  The
        mount namespace is the bench's own (scripts/bench)."""
        with open("/etc/passwd", encoding="utf-8") as f:
            text = f.read()
        if f"\n{USER}:" not in text:
            home = self.place.directory / "home"
            home.mkdir()
            os.chown(home, 64321, 64321)
            copy = self.place.directory / "passwd"
            copy.write_text(text + f"{USER}:x:64321:64321::{home}:/bin/sh\n",
                            encoding="utf-8")
            copy.chmod(0o644)
            self.place.check(["mount", "--bind", copy, "/etc/passwd"])
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.place.directory.chmod(0o755)

    def make_keys(self):
        for name in ("host", "user"):
            self.place.check([find("ssh-keygen"), "-q", "-t", "ed25519", "-N",
                              "", "-f", self.dir / name])
        (self.dir / "user.pub").chmod(0o644)

    def sshd_config(self, port):
        path = self.dir / f"sshd-{port}.conf"
        path.write_text(f"""Port {port}
ListenAddress 0.0.0.0
HostKey {self.dir}/host
PidFile none
AuthorizedKeysFile {self.dir}/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
MaxStartups 500
MaxSessions 500
UseDNS no
PrintMotd no
""", encoding="ascii")
        return path

    def client_config(self):
        path = self.dir / "config"
        path.write_text(f"""Host *
User {USER}
IdentityFile {self.dir}/user
IdentitiesOnly yes
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
LogLevel ERROR
Ciphers aes128-gcm@openssh.com
ControlPath {self.dir}/%n.ctl
ControlPersist yes
Host jump
HostName {HOST}
Port {self.jump}
Host web-*
HostName {self.target_host}
Port {self.target}
ProxyCommand ssh -F {path} -W %h:%p jump
""", encoding="ascii")
        return path

    def ssh(self, *words):
        return ["ssh", "-F", str(self.config), *words]

    def open_masters(self, count, pinned=True):
        """One for each host, through the jump host, as many at a time as that
        takes."""
        argv = self.ssh("-o", "ControlMaster=yes", "-Nf")
        names = "\n".join(f"web-{i}" for i in range(1, count + 1))
        command = ["xargs", "-P", "4", "-I{}", *argv, "{}"]
        if pinned:
            command = self.place.pinned(command, self.place.load_core)
        self.place.note(command)
        done = subprocess.run(
            command, input=names, text=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, timeout=120, check=False)
        if done.returncode != 0:
            raise NotHere(f"ssh: {done.stderr.strip()[-300:]}")
        self.masters = names.split()

    def close(self):
        for name in self.masters:
            subprocess.run(self.ssh("-O", "exit", name), capture_output=True,
                           check=False)
        self.masters = []
        for child in self.children:
            self.place.stop(child)
        self.children = []
