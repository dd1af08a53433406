"""This machine: its processes, resources, names and traffic, and a person's commands.

client.py       Host: the only way to the machine
selection.py    which processes a person means
held.py         what faults share whose harm a process of its own holds
pressing.py     what those share that press on a resource
command.py  process_kill.py  process_pause.py  tcp_proxy.py     the faults
cpu.py  memory.py  io.py  disk_fill.py  fd.py  pids.py  clock.py
network_target.py  network.py  partition.py                     where, and which packets; the faults
networks.py     what planning them needs to see
marks.py        what a sweep finds
alone.py        one process of this machine at a time
runtime.py  watchdog.py  proxy/                                 what they stand on
"""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="host",
    package=__name__,
    summary="Processes, resources, names and traffic of this machine",
    faults={
        "host.clock": "clock:Clock",
        "host.command": "command:Command",
        "host.cpu": "cpu:Cpu",
        "host.disk-fill": "disk_fill:DiskFill",
        "host.dns": "dns:Dns",
        "host.fd": "fd:Fd",
        "host.http": "http:Http",
        "host.http-proxy": "http_proxy:HttpProxy",
        "host.io": "io:Io",
        "host.memory": "memory:Memory",
        "host.network": "network:Network",
        "host.partition": "partition:Partition",
        "host.pids": "pids:Pids",
        "host.process-kill": "process_kill:ProcessKill",
        "host.process-pause": "process_pause:ProcessPause",
        "host.tcp-proxy": "tcp_proxy:TcpProxy",
    },
    connect="client:Host",
    sweep="marks:find",
)
