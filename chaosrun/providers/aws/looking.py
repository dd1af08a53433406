"""What every probe and gate of AWS shares: whom it asks, and how long it may take.

Law (L4, L6): the account and Region are settled, and refused if others are meant, at each look.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from chaosrun.gate import Gate, Measured
from chaosrun.probe import Probe
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws
from chaosrun.units import Duration

ResultT = TypeVar("ResultT", bound=msgspec.Struct)
Timeout = Annotated[Duration, Meta(description="How long it may take")]


class AwsProbe(Access, Probe[Aws, ResultT], Generic[ResultT], frozen=True, kw_only=True):
    """A look at AWS."""

    timeout: Timeout = Duration(10)

    def observe(self, client: Aws) -> ResultT:
        return self.look(client, client.settle(self.access()))

    def look(self, client: Aws, access: Access) -> ResultT:
        """Look once, in this account and Region."""
        raise NotImplementedError


class AwsGate(Access, Gate[Aws], frozen=True, kw_only=True):
    """A question to AWS."""

    timeout: Timeout = Duration(15)

    def measure(self, client: Aws) -> Measured:
        return self.ask(client, client.settle(self.access()))

    def ask(self, client: Aws, access: Access) -> Measured:
        """Ask once, in this account and Region; reads only."""
        raise NotImplementedError
