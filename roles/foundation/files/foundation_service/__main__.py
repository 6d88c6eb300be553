# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service foundation: put its parts together, and serve them."""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import Any

from foundation_service.events import Events
from foundation_service.forgetful import Forgetful
from foundation_service.ids import Ids
from foundation_service.registry import Leases, Registry
from foundation_service.telemetry import Telemetry
from testbed_service.assembly import Base, described
from testbed_service.contract import Contract
from testbed_service.etcd import Gateway
from testbed_service.serve import Service, main

PREFIX = "/foundation/"
DESCRIPTION = ("openapi.yml", "events.yml", "telemetry.yml")
REGISTRY_LOCAL_READS = "registry_local_reads"
EVENTS_DROPPED_AT_RECONNECT = "events_dropped_at_reconnect"
FAULTY = (REGISTRY_LOCAL_READS, EVENTS_DROPPED_AT_RECONNECT)
"""Bugs that can be planted, so that tests can prove that they would be found."""


def description() -> Contract:
    """Return the contract of all parts."""
    return described(*(files("foundation_service") / name for name in DESCRIPTION))


def build(settings: dict[str, Any], gateway: Gateway, check_answers: bool = False) -> Service:
    """Return the service; with `check_answers` an answer that breaks the contract is an error."""
    forgetful = Forgetful() if EVENTS_DROPPED_AT_RECONNECT in settings["faulty"] else None
    base = Base("foundation", settings, gateway, PREFIX, forgetful.leaves_out if forgetful else None)
    registry = Registry(base.store, base.feed, base.faulty(REGISTRY_LOCAL_READS))
    leases, telemetry, ids = Leases(base.store, base.feed), Telemetry(base), Ids(base.store)
    events = Events(base.store, base.feed, base.publisher, ids)
    handlers = {
        "registerName": registry.register,
        "lookupName": registry.lookup,
        "unregisterName": registry.unregister,
        "readRegistryChanges": registry.changes,
        "grantLease": leases.grant,
        "keepLeaseAlive": leases.keep_alive,
        "revokeLease": leases.revoke,
        "publishEvent": events.publish,
        "subscribe": events.subscribe,
        "readSubscription": events.read,
        "unsubscribe": events.unsubscribe,
        "readEvents": events.events,
        "readCurrentMetrics": telemetry.metrics,
        "recordWorkflowEvent": telemetry.record,
        "readWorkflowEvents": telemetry.events,
    }
    background = [ids.keep_lease(), *([forgetful.watch(base.store)] if forgetful else [])]
    return base.service(description(), handlers, background, check_answers)


if __name__ == "__main__":
    sys.exit(main(build, sys.argv[1:]))
