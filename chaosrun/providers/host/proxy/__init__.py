"""The TCP proxy: a process between a listening address and an upstream, run permanently.

Law (L3): a toxic ends at its deadline by the proxy's own clock, whoever is gone by then.
Without toxics, bytes pass as they come. `python -m chaosrun.providers.host.proxy --help`.

    toxics.py    what is on, and what it comes to for each direction   (no I/O)
    line.py      one direction of one connection: the delay line
    server.py    connections between the two addresses
    control.py   the Unix socket through which toxics are set, cleared and read
    messages.py  what is said there                                 (no I/O)
"""
