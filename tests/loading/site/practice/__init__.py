"""Providers of another package, as the entry points of an installed one would give them.

Whatever is run here fails the test: loading a file runs nothing.
"""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="practice",
    package=__name__,
    faults={
        "practice.push": "things:Push",
        "practice.drop": "things:Drop",
        "practice.maybe": "things:Maybe",
    },
    probes={"practice.look": "things:Look"},
    gates={"practice.open": "things:Open"},
    connect="things:connect",
)
vendor = Provider(
    name="vendor",
    package=__name__,
    faults={"vendor.fail": "things:Push"},
    probes={"vendor.look": "things:Look"},
    needs=("the_sdk_of_a_vendor",),
    extra="vendor",
)
rotten = Provider(name="rotten", package=__name__, faults={"rotten.fault": "not_there:Fault"})
