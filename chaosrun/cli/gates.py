"""`chaosrun gates`."""

from chaosrun.cli.listing import listing

command = listing("gate", "the conditions under which an experiment may start.")
