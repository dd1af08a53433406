"""What moto's AWS lacks or only pretends, filled in: enough for our faults to be seen.

healing.py    what is replaced or restarted: groups, tasks, databases, caches; consoles
services.py   tables on demand, FIS, Systems Manager, IAM's simulation of policies

Law: nothing here decides for a fault. Each gap is filled with what AWS documents, on moto's own
objects, so that its server answers over HTTP and forgets it all on a reset. What only moto
itself lacks is here; a test or lab that rests on it says so in its name.
"""

from __future__ import annotations


def fill() -> None:
    """Fill all of them, once in a process, before moto answers anything."""
    from chaosrun.lab.aws.gaps import healing, services

    healing.fill()
    services.fill()
