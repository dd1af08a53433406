"""This machine: its processes, a person's commands, and TCP connections through a proxy.

client.py       Host: the only way to the machine
selection.py    which processes a person means
command.py  process_kill.py  process_pause.py  tcp_proxy.py     the faults
marks.py        what a sweep finds
runtime.py  watchdog.py  proxy/                                 what they stand on
"""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="host",
    package=__name__,
    summary="Processes, commands and TCP connections on this machine",
    faults={
        "host.command": "command:Command",
        "host.process-kill": "process_kill:ProcessKill",
        "host.process-pause": "process_pause:ProcessPause",
        "host.tcp-proxy": "tcp_proxy:TcpProxy",
    },
    connect="client:Host",
    sweep="marks:find",
)
