"""The client of the HTTP probes: connections that are kept from one sample to the next."""

from __future__ import annotations

from chaosrun.web.client import Client


def connect() -> Client:
    """A client that has not connected to anything yet."""
    return Client()
