"""The shop of experiments/docker, made of its compose file on the engine of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.docker_engine import PYTHON, DockerEngine, EngineError

DIRECTORY = Path("experiments/docker/shop")
_SIZES = {"m": 1 << 20}


class ComposedShop:
    """What `docker compose up` would make, with this machine's Python instead of an image's."""

    def __init__(self, engine: DockerEngine, project: str) -> None:
        self.engine, self.project = engine, project
        self._written = yaml.safe_load((DIRECTORY / "compose.yaml").read_text())
        self.network = f"{project}_back"
        engine.network(self.network, engine.subnet())
        self._made: list[str] = []
        self.up()

    def up(self) -> None:
        """Start what is not there, as compose does."""
        for service, wanted in self._written["services"].items():
            for number in range(1, wanted.get("deploy", {}).get("replicas", 1) + 1):
                name = f"{self.project}-{service}-{number}"
                try:
                    self.engine.inspect(name)
                except EngineError:
                    self._start(name, service, wanted)

    def _start(self, name: str, service: str, wanted: dict[str, Any]) -> None:
        host: dict[str, Any] = {}
        if "restart" in wanted:
            host["RestartPolicy"] = {"Name": wanted["restart"]}
        if limit := wanted.get("mem_limit"):
            host["Memory"] = int(limit[:-1]) * _SIZES[limit[-1]]
        if limit := wanted.get("pids_limit"):
            host["PidsLimit"] = limit
        host["Tmpfs"] = dict(each.split(":", 1) for each in wanted.get("tmpfs", ()))
        python, *words = wanted["command"]
        assert python == "python3"
        made = self.engine.run(
            PYTHON, *words, name=name, python=True, binds=[f"{DIRECTORY.absolute()}:/shop:ro"],
            labels={
                "com.docker.compose.project": self.project, "com.docker.compose.service": service,
            },
            networks={self.network: {"Aliases": [service, name]}}, **host,
        )  # fmt: skip
        self._made.append(made)

    def runs(self, service: str) -> list[str]:
        """The running containers of a service."""
        found = self.engine.ids_with(f"com.docker.compose.service={service}")
        mine = [self.engine.inspect(each) for each in found]
        return [
            each["Id"] for each in mine
            if each["State"]["Running"] and each["Name"].startswith(f"/{self.project}-")
        ]  # fmt: skip

    def container(self, service: str, number: int = 1) -> str:
        """A container's id."""
        return str(self.engine.inspect(f"{self.project}-{service}-{number}")["Id"])

    def said(self, service: str) -> list[str]:
        """The lines that a service wrote."""
        query = {"stdout": "true", "stderr": "true", "tail": "10000"}
        text = self.engine.raw("GET", f"/containers/{self.container(service)}/logs", **query)
        return [line[8:].decode(errors="replace") for line in text.splitlines()]

    def down(self) -> None:
        self.engine.remove(*self._made)
        self.engine.remove_network(self.network)
