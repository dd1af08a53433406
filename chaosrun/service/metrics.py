"""What a daemon counts, for Prometheus: its library has its home here."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.schedules = Gauge(
            "chaosrun_schedules", "Schedules that this scheduler knows", registry=self.registry
        )
        self.fires = Counter(
            "chaosrun_fires", "Fires put into the agenda by this scheduler, by their state then",
            ["state"], registry=self.registry,
        )  # fmt: skip
        self.claims = Counter(
            "chaosrun_fires_handled", "Fires that this worker was offered, by what became of them",
            ["outcome"], registry=self.registry,
        )  # fmt: skip
        self.lateness = Histogram(
            "chaosrun_fire_lateness_seconds", "From a fire's time to the start of its run",
            registry=self.registry, buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
        )  # fmt: skip
        self.runs = Counter(
            "chaosrun_runs", "Runs that ended here, by verdict", ["verdict"], registry=self.registry
        )
        self.running = Gauge(
            "chaosrun_runs_running", "Runs that this process drives now", registry=self.registry
        )
        self.recovered = Counter(
            "chaosrun_runs_recovered", "Runs of dead drivers taken up", registry=self.registry
        )
        self.owing = Gauge(
            "chaosrun_runs_stranded", "Runs in the journal that are stranded: page a person",
            registry=self.registry,
        )  # fmt: skip
        self.halted = Gauge(
            "chaosrun_halted", "1 while the halt switch is on or unreadable", registry=self.registry
        )
        self.journal = Gauge(
            "chaosrun_journal_up", "1 while the journal answers", registry=self.registry
        )

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
