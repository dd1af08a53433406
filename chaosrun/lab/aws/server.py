"""The process that plays AWS: python -m chaosrun.lab.aws.server DIRECTORY PORT ENDS_AT

Law: it listens on loopback only, holds the lock on `lab.lock` as long as it lives, and ends by
itself. What it is asked goes to moto, in this process; nothing leaves this machine.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Any

from chaosrun.lab.aws import gaps, seed, world
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws

_LOOK_AT_CLOCK = 1.0


def main(directory: str, port: str, ends_at: str) -> None:
    asked = Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: asked.set())
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    gaps.fill()
    moto: Any = import_module("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=int(port), verbose=False)
    server.start()
    made = world.AwsWorld(
        pid=os.getpid(), port=int(port), ends_at=float(ends_at), region=seed.REGION, parameters={}
    )
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(made.environment)
    client = Aws()
    shop = seed.Shop(client, Access(region=seed.REGION, endpoint=made.endpoint))
    shop.make()
    client.close()
    world.write(
        Path(directory),
        world.AwsWorld(
            pid=made.pid, port=made.port, ends_at=made.ends_at, region=made.region,
            parameters=shop.parameters,
        ),
    )  # fmt: skip
    while not asked.wait(_LOOK_AT_CLOCK) and time.time() < made.ends_at:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
