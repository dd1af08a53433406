"""`chaosrun faults`."""

from chaosrun.cli.listing import listing

command = listing("fault", "the kinds of harm that a step can do.")
