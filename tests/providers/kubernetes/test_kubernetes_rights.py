"""Without any one of its rights an experiment is refused before anything is touched."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from chaosrun import events as e
from chaosrun.cli import main
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.journal import open_journal
from chaosrun.providers.kubernetes import agents, api
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import NAMESPACE, Ref, uid_of
from chaosrun.providers.kubernetes.pods_probe import LogsProbe
from chaosrun.providers.kubernetes.require import in_words
from chaosrun.providers.kubernetes.safe_gates import CanDo
from chaosrun.providers.kubernetes.scale import Scale
from chaosrun.rights import Permission
from tests.cluster.outside import outside, until
from tests.providers.kubernetes.conftest import Runner, calm, needs_of, rights_of
from tests.providers.kubernetes.experiments import (
    FILES,
    SECRET,
    differences,
    whole,
    with_pods,
    words_of,
)

REFUSED = 3
BEFORE_A_LEASE = (e.Started, e.GateMeasured, e.Sampled, e.Planned, e.PlanFailed, e.Finished)
NO_CLUSTER = "00000000-0000-0000-0000-000000000000"
Call = tuple[str, str, Mapping[str, str]]


class Asked(msgspec.Struct, frozen=True):
    """One command line: its exit code, what its journal has, and what it called."""

    code: int
    events: list[e.AnyEvent]
    calls: list[Call]

    @property
    def reason(self) -> str:
        (finished,) = (event for event in self.events if isinstance(event, e.Finished))
        return finished.reason

    @property
    def unsteady(self) -> bool:
        """Whether it was refused since the shop itself was not as it should be for a moment."""
        return any(
            isinstance(event, e.Sampled)
            and event.outcome is e.Outcome.BROKE
            and f"did not hold at the start: {event.name}: {event.reason}" in self.reason
            for event in self.events
        )

    @property
    def touching(self) -> list[Call]:
        """The calls that may have changed something."""
        return [call for call in self.calls if not _harmless(*call)]


def _harmless(method: str, path: str, query: Mapping[str, str]) -> bool:
    if method == "GET":
        return not path.endswith("/exec")
    return query.get("dryRun") == "All" or path.endswith("/selfsubjectaccessreviews")


@pytest.fixture
def chaosrun(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Chaosrun:
    monkeypatch.setenv("WRONG_PASSWORD", SECRET)
    monkeypatch.setenv(agents.IMAGE, "localhost/never-pulled:1")
    return Chaosrun(monkeypatch, capfd, tmp_path)


class Chaosrun:
    """The command line, in this process: to import it anew takes longer than to be refused."""

    def __init__(
        self, patch: pytest.MonkeyPatch, output: pytest.CaptureFixture[str], directory: Path
    ) -> None:
        self._patch, self._output, self._calls = patch, output, list[Call]()
        self._journal = f"sqlite:///{directory}/journal.db"
        patch.setattr(api, "connect", self._connect)

    def _connect(self) -> Kubernetes:
        client = Kubernetes()
        client.observers.append(lambda *call: self._calls.append(call))
        return client

    def rights(self, *words: str) -> list[Permission]:
        """What `chaosrun permissions` tells."""
        assert main(["permissions", *words, "--output", "json"]) == 0
        return rights_of(json.loads(self._output.readouterr().out))

    def run(self, runner: Runner, *words: str) -> Asked:
        """`chaosrun run` as that service account; again if it was refused for the shop's sake."""
        self._patch.setenv("KUBECONFIG", str(runner.kubeconfig))

        def asked() -> Asked | None:
            return None if (found := self._once(*words)).unsteady else found

        found: Asked = until(asked, "the shop should be steady")
        return found

    def _once(self, *words: str) -> Asked:
        self._calls.clear()
        code = main(["run", *words, "--quiet", "--journal", self._journal])
        _, run, *_ = self._output.readouterr().out.split()
        journal = open_journal(self._journal)
        events = list(journal.events(run))
        journal.close()
        return Asked(code, events, list(self._calls))


def without(directory: Path, rights: list[Permission], missing: Permission) -> Runner:
    """A service account with all of these rights but one, which the gate has named."""
    runner = Runner(directory, [right for right in rights if right != missing])
    gate, client = CanDo(kubeconfig=str(runner.kubeconfig)), Kubernetes()

    def named() -> bool:
        found = gate.measure_rights(client, needs_of(rights))
        return not found.open and found.measured == f"missing: {in_words(missing)}"

    until(named, f"the gate should name {in_words(missing)}")
    client.close()
    return runner


@pytest.fixture
def runners(tmp_path: Path) -> Iterator[Callable[[list[Permission]], Iterator[Runner]]]:
    """Service accounts with all of some rights but one, for each; gone in the end."""
    made: list[Runner] = []

    def one(rights: list[Permission], missing: Permission) -> Runner:
        made.append(without(tmp_path, rights, missing))
        return made[-1]

    with ThreadPoolExecutor(4) as pool:
        yield lambda rights: pool.map(lambda missing: one(rights, missing), rights)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Runner.end, made))


def names(reason: str, right: Permission) -> bool:
    """Whether a right is named, in our words or in those of the API server."""
    kind, _, sub = right.resource.partition("/")
    plural, _, group = kind.partition(".")
    resource = f"{plural}/{sub}" if sub else plural
    theirs = f'cannot {right.action} resource "{resource}" in API group "{group}"'
    return in_words(right) in reason or theirs in reason


def meant_here(file: Path, directory: Path) -> list[str]:
    """The words that ask it of this cluster: in another it is refused whatever its rights."""
    words, text = words_of(file), file.read_text()
    if NO_CLUSTER in text:
        uid = uid_of(outside().get(Ref(NAMESPACE, "kube-system").path()))
        words[0] = str(directory / file.name)
        Path(words[0]).write_text(text.replace(NO_CLUSTER, uid))
    return words


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_without_any_one_right_it_is_refused_before_anything_is_touched(
    world: str,
    file: Path,
    chaosrun: Chaosrun,
    runners: Callable[[list[Permission]], Iterator[Runner]],
    tmp_path: Path,
) -> None:
    words = meant_here(file, tmp_path)
    rights = chaosrun.rights(*words)
    until(lambda: whole(world) and calm(world), "the shop should be whole, and serve")
    before = with_pods(world)
    for missing, runner in zip(rights, runners(rights), strict=True):
        asked = chaosrun.run(runner, *words)
        assert asked.code == REFUSED, f"without {in_words(missing)}: {asked.reason}"
        assert names(asked.reason, missing), f"without {in_words(missing)}: {asked.reason}"
        assert all(isinstance(event, BEFORE_A_LEASE) for event in asked.events)
        assert asked.calls
        assert all(isinstance(event, BEFORE_A_LEASE) for event in asked.events)
    assert asked.touching == []
    assert differences(before, with_pods(world)) == {}


def test_a_halt_that_may_not_be_read_refuses_before_anything_is_touched(
    world: str, chaosrun: Chaosrun, tmp_path: Path
) -> None:
    words, policy = words_of(FILES[0]), tmp_path / "policy.yaml"
    policy.write_text(f"""\
apiVersion: chaosrun.dev/v1
kind: Policy
metadata: {{name: halted-from-the-cluster}}
spec:
  halt: {{sources: [{{kubernetes.config-map: {{namespace: {world}, configMap: checkout}}}}]}}
""")
    rights = chaosrun.rights(*words)
    runner = Runner(tmp_path, rights)
    runner.await_rights(rights)
    until(lambda: whole(world) and calm(world), "the shop should be whole, and serve")
    before = with_pods(world)
    asked = chaosrun.run(runner, *words, "--policy", str(policy))
    assert asked.code == REFUSED, asked.reason
    assert 'cannot get resource "configmaps"' in asked.reason
    assert all(isinstance(event, BEFORE_A_LEASE) for event in asked.events)
    assert asked.touching == []
    assert differences(before, with_pods(world)) == {}
    runner.end()


def test_a_plan_without_the_gate_is_refused_too(
    shop: str, cluster: Kubernetes, tmp_path: Path
) -> None:
    plain = {"target": {"namespace": shop, "name": "checkout"}, "replicas": 1}
    rights = from_plain(plain, Scale).needs()
    runner = Runner(tmp_path, [right for right in rights if right.action != "patch"])
    target = {**plain["target"], "kubeconfig": str(runner.kubeconfig)}  # type: ignore[dict-item]
    with pytest.raises(Refused, match=r"patch deployments\.apps checkout in shop"):
        from_plain({**plain, "target": target}, Scale).plan(cluster, random.Random(1))
    runner.end()


def test_somebody_else_can_be_acted_for(shop: str, cluster: Kubernetes, tmp_path: Path) -> None:
    runner = Runner(tmp_path, [])
    nobody = Access(impersonate=runner.user, impersonate_groups=("system:authenticated",))
    with pytest.raises(Refused, match="cannot get resource"):
        cluster.settle(nobody)
    runner.end()


def test_logs_that_may_not_be_read_are_told_though_no_pod_is_there_yet(
    shop: str, cluster: Kubernetes, tmp_path: Path
) -> None:
    plain = {"namespace": shop, "selector": "app=not-yet", "pattern": "panic"}
    rights = from_plain(plain, LogsProbe).needs()
    runner = without(tmp_path, list(rights), next(r for r in rights if r.resource == "pods/log"))
    probe = from_plain({**plain, "kubeconfig": str(runner.kubeconfig)}, LogsProbe)
    with pytest.raises(Refused, match="get pods/log in shop"):
        probe.observe(cluster)
    runner.end()


def test_what_is_not_there_is_told_by_name(cluster: Kubernetes, shop: str) -> None:
    plain = {"target": {"namespace": shop, "name": "nothing"}, "replicas": 1}
    with pytest.raises(NotFound, match='"nothing" not found'):
        from_plain(plain, Scale).plan(cluster, random.Random(1))
