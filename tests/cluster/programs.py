"""Programs that run in pods of the labs: what they serve there, and what they measure.

They take the place of the programs of the shop, and of a person with a stopwatch. Each is the text
of a Python program that says one line of JSON, so it runs wherever an image has Python. What they
tell comes from a request, a packet, or the kernel's own counts: never from an agent of ours.
"""

from __future__ import annotations

ADDRESS = "192.0.2.7"
"""What the name server of `SERVER` says of each name."""

# HTTP; names, each of which has one address; and datagrams, which come back as they are. These have
# no checksum, so that a damaged one arrives and can be told from a lost one.
SERVER = f"""
import http.server, socket, threading, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        size = {{"/large": 100_000, "/huge": 400_000}}.get(self.path, 4)
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(b"x" * size)
    def log_message(self, *_): pass
def datagrams(port, answer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
        sock.bind(("", port))
        while True:
            asked, peer = sock.recvfrom(2048)
            try:
                sock.sendto(answer(asked), peer)
            except OSError:  # it cannot be sent now: it is lost
                pass
def named(asked):
    found = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4" + socket.inet_aton("{ADDRESS}")
    return asked[:2] + b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + asked[12:] + found
for port, answer in ((53, named), (9000, lambda asked: asked)):
    threading.Thread(target=datagrams, args=(port, answer), daemon=True).start()
http.server.ThreadingHTTPServer(("", 8080), H).serve_forever()
"""

# The status of a request of that host for that path, 0 for none, and how long it took. It is waited
# for a second, or as long as is said.
ASK = """
import json, sys, time, urllib.error, urllib.request
url, timeout = "http://" + sys.argv[1] + ":8080" + sys.argv[2], float((sys.argv[3:] or [1])[0])
began = time.monotonic()
try:
    with urllib.request.urlopen(url, timeout=timeout) as got:
        got.read()
        status = got.status
except urllib.error.HTTPError as error:
    status = error.code
except OSError:
    status = 0
print(json.dumps([status, time.monotonic() - began]))
"""

# What that name server says of these names: an address, the number of an error, or nothing.
LOOK_UP = """
import json, socket, sys
def look_up(server, name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        try:
            sock.connect((server, 53))
            sock.send(b"\\1\\2\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + labels + b"\\0\\0\\1\\0\\1")
            said = sock.recv(512)
        except OSError:
            return "no answer"
    return said[3] & 15 or socket.inet_ntoa(said[-4:])
print(json.dumps([look_up(sys.argv[1], name) for name in sys.argv[2:]]))
"""

# How many of so many datagrams that host gave back as they were, damaged, and how many twice. There
# are never more on the way than the buffers of sockets hold, so none is lost but by the network.
COUNT = """
import collections, json, os, socket, sys, time
host, number, at_once = sys.argv[1], int(sys.argv[2]), 100
rest = os.urandom(60)
came, damaged = collections.Counter(), 0
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    def gather(wanted, quiet):
        global damaged
        sock.settimeout(quiet)
        while len(came) + damaged < wanted:
            try:
                said = sock.recv(2048)
            except OSError:
                return
            if len(said) == 64 and said[4:] == rest and int.from_bytes(said[:4], "big") < number:
                came[said[:4]] += 1
            else:
                damaged += 1
    for first in range(0, number, at_once):
        for each in range(first, min(first + at_once, number)):
            sock.sendto(each.to_bytes(4, "big") + rest, (host, 9000))
        gather(first + at_once, 0.3)
    gather(2 * number, 1)
print(json.dumps([len(came), damaged, sum(1 for times in came.values() if times > 1)]))
"""

# The bytes that host sends when it is asked for much, and the seconds that it takes.
FLOW = """
import json, sys, time, urllib.request
began = time.monotonic()
with urllib.request.urlopen("http://" + sys.argv[1] + ":8080/huge", timeout=30) as got:
    size = len(got.read())
print(json.dumps([size, time.monotonic() - began]))
"""

# What the own control group uses of processors and memory, and what lies in /tmp: in so many tenths
# of a second, or until that many seconds of a processor were used.
USES = """
import json, pathlib, sys, time
times, much = int(sys.argv[1]), float(sys.argv[2])
groups = pathlib.Path("/sys/fs/cgroup")
def used():
    if (groups / "cpu.stat").exists():
        return int((groups / "cpu.stat").read_text().split()[1]) / 1e6
    return int((groups / "cpuacct/cpuacct.usage").read_text()) / 1e9
def taken():
    new, old = groups / "memory.current", groups / "memory/memory.usage_in_bytes"
    return int((new if new.exists() else old).read_text())
before = used()
for _ in range(times):
    time.sleep(0.1)
    if used() - before > much:
        break
files = sorted(path.name for path in pathlib.Path("/tmp").glob("chaosrun-*"))
print(json.dumps([used() - before, taken(), files]))
"""

# The bytes per second that are written to disks, as the kernel counts them: in the middle one of
# some seconds, since others of this machine write, too.
WRITTEN = """
import json, statistics, time
def sectors():
    with open("/proc/diskstats") as lines:
        return sum(int(line.split()[9]) for line in lines)
found = []
for _ in range(5):
    before, began = sectors(), time.monotonic()
    time.sleep(1)
    found.append((sectors() - before) * 512 / (time.monotonic() - began))
print(json.dumps(statistics.median(found)))
"""

# Looks again and again until a time, whether all is well: [when, whether], ... A request that takes
# long is not; nor is a lookup that gives no address, nor a control group that uses much. That of a
# pod is looked for on its node, where all groups are, and holds those of all its containers.
WATCH = """
import json, os, pathlib, socket, sys, time, urllib.request
kind, what, until = sys.argv[1], sys.argv[2], float(sys.argv[3])
def request(path):
    began = time.monotonic()
    try:
        with urllib.request.urlopen("http://" + what + ":8080" + path, timeout=1) as got:
            got.read()
    except OSError:
        return False
    return time.monotonic() - began < 0.5
def lookup():
    asked = b"\\1\\2\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4shop\\7example\\0\\0\\1\\0\\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        try:
            sock.connect((what, 53))
            sock.send(asked)
            return sock.recv(512)[3] & 15 == 0
        except OSError:
            return False
def group(names):
    for at, below, files in os.walk("/node/cgroup"):
        if what in at or what.replace("-", "_") in at:
            for name in names:
                if name in files:
                    return pathlib.Path(at, name)
    raise SystemExit("no control group of " + what)
def used():
    words = counted.read_text().split()
    return int(words[1]) / 1e6 if counted.name == "cpu.stat" else int(words[0]) / 1e9
def idle():
    before, began = used(), time.monotonic()
    time.sleep(0.5)
    return (used() - before) / (time.monotonic() - began) < 0.02
if kind == "cpu":
    counted = group(("cpuacct.usage", "cpu.stat"))
if kind == "memory":
    counted = group(("memory.usage_in_bytes", "memory.current"))
look = {
    "request": lambda: request("/"), "large": lambda: request("/large"), "lookup": lookup,
    "cpu": idle, "memory": lambda: int(counted.read_text()) < 200 << 20,
    "files": lambda: not list(pathlib.Path("/tmp").glob("chaosrun-*")),
}[kind]
seen = []
while time.time() < until:
    began = time.time()
    well = look()
    seen.append([began, well])
    time.sleep(0.2)
print(json.dumps(seen))
"""
