"""Docker: containers of an engine, what they are connected to, and the ends of their processes.

client.py       Docker: the only way to an engine, by the docker SDK
containers.py   which containers a person means, and how they are now
switch.py       the dead man's switch of faults that the engine itself would never end
kill.py stop.py pause.py restart.py remove.py disconnect.py     the faults
looking.py  logs.py  healthy.py     the probes and the gate
marks.py        what a sweep finds
"""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="docker",
    package=__name__,
    summary="Containers of a Docker engine: their life, their networks and their logs",
    faults={
        "docker.kill": "kill:Kill",
        "docker.network-disconnect": "disconnect:NetworkDisconnect",
        "docker.pause": "pause:Pause",
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
