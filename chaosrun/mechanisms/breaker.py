"""An HTTP server whose answers break off: the head of one comes, and then the connection ends.

A program with nothing but the standard library: `python -S -I breaker.py`. It says its port, and
serves on the loopback until its parent ends.
"""

from __future__ import annotations

import os
import selectors
import socket

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n{"
_MOST = 65536


def main() -> None:
    """Answer each request with half of an answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        server.setblocking(False)
        os.write(1, f"{server.getsockname()[1]}\n".encode())
        ready = selectors.DefaultSelector()
        ready.register(server, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is server:
                    client, _ = server.accept()
                    client.setblocking(False)
                    ready.register(client, selectors.EVENT_READ)
                    continue
                ready.unregister(sock)
                with sock:
                    try:
                        if sock.recv(_MOST):
                            sock.send(_HEAD)
                    except OSError:
                        pass


if __name__ == "__main__":
    main()
