"""Whoever may not be let in, at the ports of the three real programs: ended
before it hears a byte, with the reason in the log (S1).  The whole table, at
each end of links, seals and enrolments, is test/common/bad_peers_test.c."""
import socket
import ssl
import subprocess

import pytest

from harness import SLOW, wait_until

# A frame of HELLO with an empty map: what a good peer's first bytes may be.
HELLO = b"\x00\x01\x08\x00\x00\x00\x00\x00\x80"


class Forge:
    """Certificates with openssl, for whoever stole what it takes."""

    def __init__(self, w):
        self.w, self.dir = w, w.directory / "forge"
        self.dir.mkdir()
        self.ca = w.state / "ca"
        uri = self.words("x509", "-in", w.state / "node" / "cert.pem",
                         "-noout", "-ext", "subjectAltName")
        self.cluster = uri.split("spiffe://")[1].split("/")[0]
        self.other = self.cluster[::-1]
        self.count = 0

    def words(self, *argv):
        return subprocess.run(["openssl", *map(str, argv)], check=True,
                              capture_output=True, text=True).stdout

    def key(self, *kind):
        self.count += 1
        path = self.dir / f"{self.count}.key"
        self.words("genpkey", *(kind or ("-algorithm", "ed25519")), "-out",
                   path)
        return path

    def cert(self, key, issuer, names, days=1, usage="serverAuth,clientAuth",
             ca="CA:FALSE", sign=()):
        """issuer: (certificate, key), or None for its own; DER-clean PEM."""
        self.count += 1
        path, ext = (self.dir / f"{self.count}.{end}" for end in
                     ("crt", "cnf"))
        lines = [f"basicConstraints=critical,{ca}",
                 "keyUsage=critical," + ("keyCertSign,cRLSign" if "TRUE" in ca
                                         else "digitalSignature"),
                 "subjectKeyIdentifier=hash"]
        if issuer:
            lines.append("authorityKeyIdentifier=keyid:always")
        if usage:
            lines.append(f"extendedKeyUsage={usage}")
        if names:
            lines.append("subjectAltName=" + ",".join(names))
        ext.write_text("\n".join(lines) + "\n")
        request = self.dir / f"{self.count}.csr"
        self.words("req", "-new", "-key", key, "-subj", "/O=forged/CN=forged",
                   "-out", request)
        by = (["-CA", issuer[0], "-CAkey", issuer[1], "-CAcreateserial"]
              if issuer else ["-signkey", key])
        self.words("x509", "-req", "-in", request, *by, "-days", str(days),
                   "-extfile", ext, "-out", path, *sign)
        return path

    def authority(self, name):
        return self.ca / f"{name}.crt", self.ca / f"{name}.key"

    def uri(self, role, name, cluster=None):
        return f"URI:spiffe://{cluster or self.cluster}/{role}/{name}"

    def chain(self, *certs):
        self.count += 1
        path = self.dir / f"{self.count}.chain"
        path.write_text("".join(
            "-----BEGIN" + c.read_text().split("-----BEGIN", 1)[1]
            for c in certs))
        return path


def show(f, uri=None, issuer=None, **more):
    """(chain, key) of a server's certificate, with what is wrong in it."""
    key = f.key()
    issuer = issuer or f.authority("nodes")
    cert = f.cert(key, issuer, [uri or f.uri("server", "n9")], **more)
    return f.chain(cert, issuer[0]), key


def self_signed(f):
    key = f.key()
    return f.chain(f.cert(key, None, [f.uri("server", "n9")])), key


def other_root(f):
    root_key, key = f.key(), f.key()
    root = f.cert(root_key, None,
                  [f"URI:longarm://{f.cluster}/ca/root"], usage="",
                  ca="CA:TRUE,pathlen:1")
    nodes = f.cert(key, (root, root_key),
                   [f"URI:longarm://{f.cluster}/ca/nodes"],
                   ca="CA:TRUE,pathlen:0")
    return show(f, issuer=(nodes, key))


def below(f, key, *sign):
    """Under an authority that the true root has signed in a weak way."""
    mark = [f"URI:longarm://{f.cluster}/ca/nodes"]
    ca = f.cert(key, f.authority("root"), mark, ca="CA:TRUE,pathlen:0",
                sign=sign)
    return show(f, issuer=(ca, key))


def by_member(f):
    member = f.w.machines["web-01"].state / "identity"
    return show(f, issuer=(member / "cert.pem", member / "key.pem"))


def tampered(f):
    chain, key = show(f)
    first, rest = chain.read_text().split("-----END", 1)
    at = len(first) - 12
    flip = "A" if first[at] != "A" else "B"
    chain.write_text(first[:at] + flip + first[at + 1:] + "-----END" + rest)
    return chain, key


# name: (what it shows, what the log says)
SHOWN = {
    "self-signed": (self_signed, "self-signed certificate"),
    "other-root": (other_root, "not good for this cluster"),
    "server-usage": (lambda f: show(f, usage="serverAuth"),
                     "certificate purpose"),
    "host-name": (lambda f: show(f, uri="DNS:n1.example"), "short URI"),
    "two-names": (lambda f: show(f, uri=f.uri("server", "n9") + ","
                                 + f.uri("server", "n8")),
                  "2 alternative names"),
    "another-cluster": (lambda f: show(
        f, uri=f.uri("server", "n9", f.other)), "is of cluster"),
    "agent-of-nodes": (lambda f: show(f, uri=f.uri("relay", "dc2-z")),
                       "not issued by the authority 'agents'"),
    "by-member": (by_member, "not good for this cluster"),
    "sha-1": (lambda f: below(f, f.key(), "-sha1"), "digest algorithm"),
    "rsa-1024": (lambda f: below(f, f.key(
        "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")),
        "key too weak"),
    "tampered": (tampered, "signature failure"),
    "tls-1.2": (show, "TLS 1.3"),
    "no-protocol": (show, "does not speak longarm/1"),
    "http-2": (show, "does not speak longarm/1"),
}


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a")
    shared.tentacle("web-01")
    shared.forge = Forge(shared)
    return shared


def doors(w):
    return {"server": (w.links, w.server_process),
            "relay": (w.relays["dc2-a"].port, w.relays["dc2-a"]),
            "machine": (w.machines["web-01"].port,
                        w.machines["web-01"].process)}


def knock(port, shown, name=""):
    """All that is heard after a HELLO."""
    context = ssl._create_unverified_context()
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    if shown:
        context.load_cert_chain(*shown)
    if name == "tls-1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    protocols = {"no-protocol": [], "http-2": ["h2"]}.get(name, ["longarm/1"])
    if protocols:
        context.set_alpn_protocols(protocols)
    heard = b""
    with socket.create_connection(("127.0.0.1", port), 10 * SLOW) as s:
        try:
            with context.wrap_socket(s) as tls:
                tls.sendall(HELLO)
                while piece := tls.recv(4096):
                    heard += piece
        except (ssl.SSLError, ConnectionError):
            pass
    return heard


@pytest.mark.parametrize("name", SHOWN)
def test_a_bad_peer_is_ended_before_it_hears_a_byte(w, name):
    make, words = SHOWN[name]
    shown = make(w.forge)
    for program, (port, process) in doors(w).items():
        before = process.text().count(words)
        assert knock(port, shown, name) == b"", program
        wait_until(lambda: process.text().count(words) > before,
                   f"'{words}' in the log of the {program}")


def test_the_same_with_nothing_wrong_is_heard(w):
    """The control: its HELLO is read, and found empty."""
    shown = show(w.forge)
    for program, (port, process) in doors(w).items():
        before = process.text().count("proto_min")
        knock(port, shown)
        wait_until(lambda: process.text().count("proto_min") > before,
                   f"HELLO read by the {program}")


@pytest.mark.parametrize("said,answer", [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"longarm protocol over TLS"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", b""),
    (b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff", b""),
], ids=("http", "ssh", "garbage"))
def test_who_speaks_something_else_is_answered_and_ended(w, said, answer):
    for program, (port, process) in doors(w).items():
        with socket.create_connection(("127.0.0.1", port), 10 * SLOW) as s:
            s.sendall(said)
            heard = b""
            try:
                while piece := s.recv(4096):
                    heard += piece
            except ConnectionResetError:
                pass
        assert answer in heard, program
        # At most an alert of TLS.
        assert answer or len(heard) <= 7, program
        assert process.is_running()


def test_those_who_may_have_noticed_nothing(w):
    for noun, name in (("relay", "dc2-a"), ("machine", "web-01")):
        w.wait_presence(noun, name)
    w.cli("run", "-m", "web-01", "--", "true")
