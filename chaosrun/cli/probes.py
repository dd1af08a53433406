"""`chaosrun probes`."""

from chaosrun.cli.listing import listing

command = listing("probe", "the ways to observe a system.")
