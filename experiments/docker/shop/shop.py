"""A small shop for practice: `python shop.py store|web|client`. Nothing but the standard library.

The web service asks the store what there is, waits for it half a second, and answers 503 when the
store does not. The client buys ten times a second from whoever the name `web` leads to, tries again
once with another, and writes `ok` or `failed` for each.
"""

import http.client
import http.server
import json
import random
import signal
import socket
import socketserver
import sys
import time

PORT = 8000
STORE_WITHIN, WEB_WITHIN = 0.5, 1.0


def ask(host, path, timeout):
    """The status and body of one answer; raises OSError."""
    connection = http.client.HTTPConnection(host, PORT, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


class Store(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        reply(self, 200, {"stock": 12})

    def log_message(self, *_):
        pass


class Web(Store):
    def do_GET(self):
        try:
            status, body = ask("store", "/stock", STORE_WITHIN)
        except OSError as error:
            reply(self, 503, {"error": f"no store: {error}"})
        else:
            reply(self, status, json.loads(body) if status == 200 else {})


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64


def reply(handler, status, body):
    text = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text)


def buy():
    """Whether one of two tries, each with another web server where there are several, went well."""
    try:
        found = sorted({each[4][0] for each in socket.getaddrinfo("web", PORT, socket.AF_INET)})
    except OSError as error:
        return f"failed: {error}"
    said = "nobody was asked"
    for address in random.sample(found, min(2, len(found))):
        try:
            status, _ = ask(address, "/buy", WEB_WITHIN)
        except OSError as error:
            said = str(error)
            continue
        if status == 200:
            return "ok"
        said = f"status {status}"
    return f"failed: {said}"


def shop():
    while True:
        began = time.monotonic()
        said = buy()
        print(f"{said} after {(time.monotonic() - began) * 1000:.0f} ms", flush=True)
        time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))


def main(role):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if role == "client":
        shop()
    else:
        Server(("", PORT), {"store": Store, "web": Web}[role]).serve_forever()


main(sys.argv[1])
