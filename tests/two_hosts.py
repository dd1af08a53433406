"""Two hosts on one cable: network namespaces of a test's own, and programs that run in them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

_PROGRAMS = {"ip": "iproute2", "nft": "nftables"}


class Program:
    """Python that runs on one host: it says a line when it is ready, and answers lines."""

    def __init__(self, namespace: str, code: str, *words: str, **env: str) -> None:
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, sys.executable, "-c", code, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **env},
        )  # fmt: skip
        self.ready = self.read()

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        """Say a line; the line that it answers."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.read()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class TwoHosts:
    """`near` and `far` are namespaces. They are 10.77.0.1 and .2, and fd77::1 and ::2."""

    def __init__(self, near: str, far: str) -> None:
        self.near, self.far = near, far

    @contextlib.contextmanager
    def program(self, namespace: str, code: str, *words: str, **env: str) -> Iterator[Program]:
        program = Program(namespace, code, *words, **env)
        try:
            yield program
        finally:
            program.end()

    def run(self, namespace: str, *words: str) -> str:
        """What a command says there."""
        return sh("ip", "netns", "exec", namespace, *words)

    def rules(self, namespace: str) -> str:
        """All that nftables has there."""
        return self.run(namespace, "nft", "list", "ruleset")


def sh(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=20).stdout


@contextlib.contextmanager
def made() -> Iterator[TwoHosts]:
    """The two hosts; skipped where they cannot be made."""
    lacks = [package for name, package in _PROGRAMS.items() if not shutil.which(name)]
    if os.geteuid() or lacks:
        pytest.skip(f"needs root and: apt-get install {' '.join(lacks) or 'nothing'}")
    word = uuid.uuid4().hex[:8]
    hosts = TwoHosts(f"cr-near-{word}", f"cr-far-{word}")
    with contextlib.ExitStack() as cleanup:
        for name in (hosts.near, hosts.far):
            sh("ip", "netns", "add", name)
            cleanup.callback(sh, "ip", "netns", "del", name)
        sh("ip", "-n", hosts.near, "link", "add", "eth0", "type", "veth",
           "peer", "name", "eth0", "netns", hosts.far)  # fmt: skip
        for number, name in ((1, hosts.near), (2, hosts.far)):
            for words in (
                f"addr add 10.77.0.{number}/24 dev eth0",
                f"addr add fd77::{number}/64 dev eth0 nodad",
                "link set lo up",
                "link set eth0 up",
            ):
                sh("ip", "-n", name, *words.split())
        yield hosts


NAME_SERVER = """
import socket, socketserver, struct, sys, threading
from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSRecord
def answer(asked):
    read = DNSRecord.parse(asked)
    said = read.reply()
    if str(read.q.qname).startswith("missing"):
        said.header.rcode = RCODE.NXDOMAIN
    elif str(read.q.qname).startswith("far"):
        said.add_answer(RR(read.q.qname, QTYPE.A, ttl=60, rdata=A("10.77.0.2")))
    elif QTYPE[read.q.qtype] == "A":
        said.add_answer(RR(read.q.qname, QTYPE.A, ttl=60, rdata=A("192.0.2.1")))
    elif QTYPE[read.q.qtype] == "AAAA":
        said.add_answer(RR(read.q.qname, QTYPE.AAAA, ttl=60, rdata=AAAA("2001:db8::1")))
    return said.pack()
class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(answer(self.request[0]), self.client_address)
class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        size, = struct.unpack("!H", self.rfile.read(2))
        said = answer(self.rfile.read(size))
        self.wfile.write(struct.pack("!H", len(said)) + said)
class Udp6(socketserver.ThreadingUDPServer):
    address_family = socket.AF_INET6
class Tcp4(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
for kind, where, serves in ((socketserver.ThreadingUDPServer, "10.77.0.2", Udp),
                            (Udp6, "fd77::2", Udp), (Tcp4, "10.77.0.2", Tcp)):
    server = kind((where, 53), serves)
    threading.Thread(target=server.serve_forever).start()
print("ready", flush=True)
"""
"""A name server on the far host: `far...` is that host, `missing...` nobody, others 192.0.2.1."""

ASKER = """
import sys, time
from dnslib import DNSRecord
print("ready", flush=True)
for line in sys.stdin:
    server, port, name, kind, way, seconds = line.split()
    began = time.monotonic()
    try:
        said = DNSRecord.parse(DNSRecord.question(name, kind).send(
            server, int(port), tcp=way == "tcp", timeout=float(seconds), ipv6=":" in server))
        words = [str(each.rdata) for each in said.rr] or [{0: "empty"}.get(
            said.header.rcode, f"rcode-{said.header.rcode}")]
    except TimeoutError:
        words = ["silence"]
    except OSError as error:
        words = [type(error).__name__]
    print(",".join(words), round(time.monotonic() - began, 3), flush=True)
"""
"""Looks names up as it is told: `SERVER PORT NAME KIND udp|tcp SECONDS`, which it waits at most;
says the answer and how long."""


WEB_SERVER = """
import http.server, socket, sys
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def do_GET(self):
        said = f"{self.command} {self.path} {self.headers.get('X-Own', '-')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("X-Case", "Kept")
        self.end_headers()
        self.wfile.write(said)
    do_POST = do_GET
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()
server = Server(("::", int(sys.argv[1])), Page)
print("ready", flush=True)
server.serve_forever()
"""
"""A web server on every address; says what was asked for."""

BROWSER = """
import http.client, json, sys, time
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    connection = http.client.HTTPConnection(
        asked["host"], asked["port"], timeout=asked.get("timeout", 30))
    began = time.monotonic()
    try:
        connection.request(asked.get("method", "GET"), asked["path"],
                           headers=asked.get("headers", {}))
        answer = connection.getresponse()
        said = {"status": answer.status, "headers": sorted(name for name, _ in answer.getheaders())}
        said["body"] = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        said = {"status": 0, "body": type(error).__name__}
    finally:
        connection.close()
    said["seconds"] = round(time.monotonic() - began, 3)
    print(json.dumps(said), flush=True)
"""
"""Asks web servers as it is told, each time on a new connection: a JSON object a line."""
