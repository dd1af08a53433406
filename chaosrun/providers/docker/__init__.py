"""Docker: containers of an engine, what they are connected to, and the ends of their processes.

client.py       Docker: the only way to an engine, by the docker SDK
containers.py   which containers a person means, and how they are now
switch.py       the dead man's switch of faults that the engine itself would never end
within.py       what is done inside of a container's namespaces or its control group
kill.py stop.py pause.py restart.py remove.py disconnect.py     the faults
network.py partition.py dns.py http.py press.py                     and those inside
looking.py  logs.py  healthy.py     the probes and the gate
marks.py        what a sweep finds
"""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="docker",
    package=__name__,
    summary="Containers of a Docker engine: their life, networks, resources and logs",
    faults={
        "docker.cpu": "press:Cpu",
        "docker.disk-fill": "press:DiskFill",
        "docker.dns": "dns:Dns",
        "docker.fd": "press:Fd",
        "docker.http": "http:Http",
        "docker.io": "press:Io",
        "docker.kill": "kill:Kill",
        "docker.memory": "press:Memory",
        "docker.network": "network:Network",
        "docker.network-disconnect": "disconnect:NetworkDisconnect",
        "docker.partition": "partition:Partition",
        "docker.pause": "pause:Pause",
        "docker.pids": "press:Pids",
        "docker.remove": "remove:Remove",
        "docker.restart": "restart:Restart",
        "docker.stop": "stop:Stop",
    },
    probes={
        "docker.container": "looking:ContainerProbe",
        "docker.containers": "looking:ContainersProbe",
        "docker.logs": "logs:LogsProbe",
    },
    gates={"docker.healthy": "healthy:Healthy"},
    connect="client:connect",
    sweep="marks:find",
    needs=("docker",),
    extra="docker",
)
