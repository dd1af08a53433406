"""What happened in a run, in words: one line for each fact worth knowing.

Law (L7): it is told from the run's events alone, so a live run, `show` and a recovery tell
the same story. Single samples are told when they fail; the rest is summed up now and then.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatchmethod
from textwrap import wrap
from time import localtime, strftime

import msgspec

from chaosrun import events as e
from chaosrun.cli.console import VERDICT_STYLE, cells, clean, clip, pad, plain_values, styled
from chaosrun.events import AnyEvent, Moment, Outcome
from chaosrun.fault import Hold
from chaosrun.run import Phase, Run, evolve
from chaosrun.units import format_seconds

DIGEST_EVERY = 10.0
_TOLD_IN_A_ROW = 3
_LABELS = 5


class Line(msgspec.Struct, frozen=True):
    """One thing to tell: when, what kind of thing, about what, and the words."""

    at: float
    word: str
    subject: str = ""
    text: str = ""
    style: str = ""


class Narrator:
    """Turns a run's events into lines, one event at a time. `run` is the fold so far."""

    def __init__(self, *, every_sample: bool = False) -> None:
        self.run = Run()
        self._every_sample = every_sample
        self._failing: dict[tuple[str, str], int] = {}
        self._digested = 0.0
        self._seen: set[str] = set()
        self._told: set[tuple[str, str, str]] = set()

    def tell(self, event: AnyEvent) -> list[Line]:
        """The lines for `event`, which follows all that were told before."""
        before, self.run = self.run, evolve(self.run, event)
        lines = list(self._tell(event))
        if isinstance(event, e.Resumed):
            return lines
        if before.phase is not self.run.phase and self.run.phase is not Phase.FINISHED:
            if self.run.stop is not None and before.stop is None:
                lines += self._stopping(event.at)
            elif self.run.phase is not Phase.REVERTING:
                lines += self._entered(event.at)
        elif before.stop is None and self.run.stop is not None and not self.run.finished:
            lines += self._stopping(event.at)
        return lines

    def _stopping(self, at: float) -> Iterator[Line]:
        stop = self.run.stop
        assert stop is not None, "only told when there is one"
        doing = "; reverting" if self.run.owed else ""
        style = VERDICT_STYLE[stop.verdict]
        yield Line(at, "stopping", str(stop.verdict), f"{stop.reason}{doing}", style)

    def _entered(self, at: float) -> Iterator[Line]:
        self._digested = at
        words = {
            Phase.BASELINE: "gates are open; does the steady state hold?",
            Phase.METHOD: "the steady state holds; starting the method",
            Phase.AFTER: "nothing is owed; does the steady state return?",
        }
        if text := words.get(self.run.phase):
            yield Line(at, "phase", str(self.run.phase), text, "bold")

    @singledispatchmethod
    def _tell(self, event: AnyEvent) -> Iterator[Line]:
        raise TypeError(f"{type(event).__name__} has no words")

    @_tell.register
    def _(self, event: e.Started) -> Iterator[Line]:
        self._digested = event.at
        title = event.experiment.spec.title
        yield Line(event.at, "started", "", f"{self.run.name}: {title}", "bold")
        drives = f"{event.run}, seed {event.seed}, driver {event.driver}"
        yield Line(event.at, "run", "", drives)

    @_tell.register
    def _(self, event: e.Resumed) -> Iterator[Line]:
        text = f"run {self.run.id} of {self.run.name}: {event.reason}; reverting what is owed"
        yield Line(event.at, "resumed", "", text, "yellow")

    @_tell.register
    def _(self, event: e.GateMeasured) -> Iterator[Line]:
        if event.step and event.open:
            return  # asked again before a step, and nothing changed
        where = f" before {event.step}" if event.step else ""
        if event.open:
            yield Line(event.at, "gate", event.gate, f"open: {event.measured}", "")
        else:
            text = f"closed{where}: {event.measured}; {event.rule}"
            if event.hint:
                text += f" ({event.hint})"
            yield Line(event.at, "gate", event.gate, text, "yellow")

    @_tell.register
    def _(self, event: e.PolicyMeasured) -> Iterator[Line]:
        broken = [rule for rule in event.rules if not rule.passes]
        overridden = [rule for rule in event.rules if rule.override and not event.step]
        where = f" before {event.step}" if event.step else ""
        for rule in broken:
            text = f"not met{where}: {rule.measured}; {rule.limit} ({rule.source})"
            if rule.hint:
                text += f"; would make it pass: {rule.hint}"
            yield Line(event.at, "policy", rule.rule, text, "yellow")
        for rule in overridden:
            assert rule.override is not None, "only those are told"
            text = f"overridden by {rule.override.by}: {rule.override.reason}; {rule.measured}"
            yield Line(event.at, "policy", rule.rule, text, "yellow")
        if not broken and not event.step:
            met = f"{len(event.rules) - len(overridden)} of {len(event.rules)} rules are met"
            yield Line(event.at, "policy", "", met if event.rules else "no rule is about it")

    @_tell.register
    def _(self, event: e.Sampled) -> Iterator[Line]:
        yield from self._sample(event)
        if event.moment is Moment.DURING and event.at - self._digested >= DIGEST_EVERY:
            self._digested = event.at
            yield from self.digest(event.at)

    def _sample(self, event: e.Sampled) -> Iterator[Line]:
        key = (event.subject, event.name)
        failed = self._failing.get(key, 0)
        said = event.reason or plain_values(event.result, 100)
        if event.outcome is Outcome.HELD:
            if self._every_sample:
                yield Line(event.at, event.subject, event.name, f"held: {said}", "dim")
            elif failed:
                del self._failing[key]
                text = "calm again" if event.subject == "guard" else "holds again"
                times = f" after {failed} samples" if failed > 1 else ""
                yield Line(event.at, event.subject, event.name, text + times, "green")
            return
        self._failing[key] = failed + 1
        if failed >= _TOLD_IN_A_ROW and not self._every_sample:
            return
        word = "unknown" if event.outcome is Outcome.UNKNOWN else "broke"
        if event.subject == "guard" and event.outcome is Outcome.BROKE:
            word = "hurts"
        style = "yellow" if event.outcome is Outcome.UNKNOWN else "red"
        yield Line(event.at, event.subject, event.name, f"{word}: {said}", style)

    def digest(self, at: float) -> Iterator[Line]:
        """The samples and what is owed, summed up."""
        parts = []
        for name, check in self.run.checks.items():
            held, broke, unknown = check.during
            rest = f", {unknown} unknown" if unknown else ""
            parts.append(f"{name}: {held} of {held + broke} held{rest}")
        for owed in self.run.owed:
            left = owed.hold.deadline - at
            parts.append(f"{owed.step}: {_left(left)} to its deadline")
        yield Line(at, "digest", "", "; ".join(parts), "dim")

    @_tell.register
    def _(self, event: e.Planned) -> Iterator[Line]:
        step = self.run.steps.get(event.step)
        if event.final and step is not None and _same(step.preview, event.hold):
            return
        text = f"{event.hold.effect}: {touched(event.hold)}"
        yield Line(event.at, "planned", event.step, text)

    @_tell.register
    def _(self, event: e.PlanFailed) -> Iterator[Line]:
        yield Line(event.at, "not planned", event.step, _why(event.error, event.hint), "yellow")

    @_tell.register
    def _(self, event: e.Leased) -> Iterator[Line]:
        hold = event.hold
        by = "the target itself" if hold.expiry == "target" else "the runner"
        left = _left(hold.deadline - event.at)
        text = f"{touched(hold)}; ends in {left} at the latest, by {by}"
        yield Line(event.at, "leased", event.step, text)

    @_tell.register
    def _(self, event: e.LeaseDenied) -> Iterator[Line]:
        text = f"{event.target} is held by run {event.holder}"
        yield Line(event.at, "denied", event.step, text, "yellow")

    @_tell.register
    def _(self, event: e.Injected) -> Iterator[Line]:
        late = "it ended only after it was given up; reverting again" if event.late else ""
        yield Line(event.at, "injected", self._step(event.lease), late, "magenta")

    @_tell.register
    def _(self, event: e.InjectFailed) -> Iterator[Line]:
        text = f"{event.failure}: {_why(event.error, event.hint)}"
        if event.unanswered:
            text += "; it may still act, so it is looked at once more in some seconds"
        yield Line(event.at, "not injected", self._step(event.lease), text, "red")

    @_tell.register
    def _(self, event: e.EffectSeen) -> Iterator[Line]:
        if event.lease in self._seen:
            return  # it is there still, as it should be
        self._seen.add(event.lease)
        yield Line(event.at, "effect seen", self._step(event.lease), event.detail, "magenta")

    @_tell.register
    def _(self, event: e.EffectNotSeen) -> Iterator[Line]:
        word = "effect lost" if event.lease in self._seen else "no effect"
        if (event.lease, word, event.detail) in self._told:
            return
        self._told.add((event.lease, word, event.detail))
        yield Line(event.at, word, self._step(event.lease), event.detail, "yellow")

    @_tell.register
    def _(self, event: e.Reverted) -> Iterator[Line]:
        yield Line(event.at, "reverted", self._step(event.lease))

    @_tell.register
    def _(self, event: e.RevertFailed) -> Iterator[Line]:
        text = f"{event.failure}: {_why(event.error, event.hint)}; it will be tried again"
        yield Line(event.at, "not reverted", self._step(event.lease), text, "red")

    @_tell.register
    def _(self, event: e.Restored) -> Iterator[Line]:
        yield Line(event.at, "restored", self._step(event.lease), event.detail, "green")

    @_tell.register
    def _(self, event: e.NotRestored) -> Iterator[Line]:
        text = f"{event.detail}; reverting again"
        yield Line(event.at, "not restored", self._step(event.lease), text, "red")

    @_tell.register
    def _(self, event: e.StopRequested) -> Iterator[Line]:
        yield Line(event.at, "asked to stop", event.by, event.reason, "yellow")

    @_tell.register
    def _(self, event: e.Finished) -> Iterator[Line]:
        style = VERDICT_STYLE[event.verdict]
        yield Line(event.at, "finished", str(event.verdict), event.reason, style)

    def _step(self, lease: str) -> str:
        return self.run.leases.get(lease, lease)


def touched(hold: Hold) -> str:
    """The targets by name, and the population they were picked from."""
    labels = [clean(target.label) for target in hold.targets]
    shown = ", ".join(labels[:_LABELS])
    more = f" and {len(labels) - _LABELS} more" if len(labels) > _LABELS else ""
    return f"{len(labels)} of {hold.population} ({shown}{more})"


def clock(at: float, *, date: bool = False) -> str:
    """Local time of day with milliseconds, with the date and zone on request."""
    local = localtime(at)
    text = strftime("%H:%M:%S", local) + f".{int(at * 1000) % 1000:03d}"
    return strftime("%Y-%m-%d ", local) + text + strftime(" %Z", local) if date else text


def written(line: Line, *, color: bool, width: int = 0, lead: str = "", subject: int = 24) -> str:
    """A line as text: `lead` (else the time), word, subject, words, in columns.

    With a `width`, words that do not fit go on below where they began.
    """
    lead = lead or clock(line.at)
    word, about = pad(line.word, 13), pad(clip(clean(line.subject), 40), subject)
    text = clean(line.text)
    column = len(lead) + len(word) + cells(about) + 5
    if not line.subject:
        about, column = "", len(lead) + len(word) + 3
    if width and cells(text) > width - column and width - column >= 20:
        text = f"\n{' ' * column}".join(wrap(text, width - column))
    if color:
        if line.style:
            word, text = styled(word, line.style), styled(text, line.style)
        lead = styled(lead, "dim")
    return f"{lead}  {word} {about}{'  ' if about else ''}{text}".rstrip()


def subject_width(run: Run) -> int:
    """How wide the column of subjects is for this run."""
    names = [*run.steps, *run.checks, *run.guards]
    return min(32, max([12, *(len(name) for name in names)]))


def _same(before: Hold | None, after: Hold) -> bool:
    return before is not None and before.targets == after.targets


def _left(seconds: float) -> str:
    return format_seconds(max(0.0, round(seconds) if seconds >= 10 else round(seconds, 1)))


def _why(error: str, hint: str) -> str:
    return f"{error} ({hint})" if hint else error
