"""How packets are impaired, as a network between two places might; in words of netem and ours.

Law (L4): what was made here is sensible as a whole, so no mechanism has to guess.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from chaosrun.units import format_seconds

Distribution = Literal["uniform", "normal", "pareto", "paretonormal"]
_LIMIT = 50_000


class GilbertElliott(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Loss in bursts: a line that is good or bad, and changes between the two with each packet."""

    worse: float
    better: float
    lost_when_bad: float = 1.0
    lost_when_good: float = 0.0

    @property
    def mean(self) -> float:
        """The share that is lost in the long run."""
        bad = self.worse / (self.worse + self.better)
        return bad * self.lost_when_bad + (1 - bad) * self.lost_when_good


class Impairment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happens to each packet. Seconds, shares from 0 to 1, and bytes per second."""

    delay: float = 0.0
    jitter: float = 0.0
    correlation: float = 0.0
    distribution: Distribution = "uniform"
    loss: float = 0.0
    loss_correlation: float = 0.0
    bursts: GilbertElliott | None = None
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    rate: float = 0.0

    @property
    def only_loss(self) -> bool:
        """Whether packets are lost at random, and nothing else."""
        return self == Impairment(loss=self.loss) and self.loss > 0

    @property
    def only_rate(self) -> bool:
        """Whether they are only let through more slowly."""
        return self == Impairment(rate=self.rate) and self.rate > 0

    @property
    def mean_loss(self) -> float:
        """The share that is lost in the long run."""
        return self.bursts.mean if self.bursts else self.loss

    def __str__(self) -> str:
        """In words."""
        said = []
        if self.delay:
            about = f" (give or take {format_seconds(self.jitter)})" if self.jitter else ""
            said.append(f"packets arrive {format_seconds(self.delay)} later{about}")
        for share, word in (
            (self.mean_loss, "are lost" + (" in bursts" if self.bursts else "")),
            (self.duplicate, "arrive twice"),
            (self.corrupt, "are corrupted"),
            (self.reorder, "overtake the others"),
        ):
            if share:
                said.append(f"{share * 100:.4g}% of packets {word}")
        if self.rate:
            said.append(f"at most {self.rate:,.0f} bytes pass in a second")
        return ", ".join(said)


def netem_words(impairment: Impairment) -> tuple[str, ...]:
    """The same as tc says it (tc-netem(8))."""
    found = ["netem", "limit", str(_LIMIT)]
    it = impairment
    if it.delay:
        found += ["delay", f"{it.delay * 1e6:.0f}us"]
        if it.jitter:
            found += [f"{it.jitter * 1e6:.0f}us", _percent(it.correlation)]
            if it.distribution != "uniform":
                found += ["distribution", it.distribution]
    if it.bursts:
        shares = (it.bursts.worse, it.bursts.better, it.bursts.lost_when_bad)
        found += ["loss", "gemodel", *map(_percent, (*shares, it.bursts.lost_when_good))]
    elif it.loss:
        found += ["loss", "random", _percent(it.loss), _percent(it.loss_correlation)]
    for word, share in (
        ("duplicate", it.duplicate), ("corrupt", it.corrupt), ("reorder", it.reorder)
    ):  # fmt: skip
        if share:
            found += [word, _percent(share)]
    if it.rate:
        found += ["rate", f"{it.rate:.0f}bps"]  # for tc that is bytes per second
    return tuple(found)


def tbf_words(rate: float) -> tuple[str, ...]:
    """A rate as tc's token bucket has it (tc-tbf(8)): a hundredth of a second at once."""
    burst = max(16_384, int(rate / 100))
    return ("tbf", "rate", f"{rate:.0f}bps", "burst", str(burst), "latency", "200ms")


def _percent(share: float) -> str:
    return f"{share * 100:.6f}".rstrip("0").rstrip(".") + "%"
