# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What single activities of a Chaos Toolkit experiment are in the testbed's words.

Only what means the same is mapped: the same effect on the same nodes. Everything else raises `Unmapped`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit_commands import commanded
from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit_functions import called
from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit_words import (
    Activity,
    Surroundings,
    Unmapped,
)


def activity(provider: Mapping[str, Any], around: Surroundings) -> Activity:
    """Return what an action does; None where nothing has to be done. Raises Unmapped."""
    kind = provider.get("type")
    if kind == "python":
        return called(provider, around)
    if kind == "process":
        return commanded(provider, around)
    raise Unmapped("provider.type", f"an action of type {kind!r} has no counterpart")


def healthy_probe(provider: Mapping[str, Any], tolerance: object, around: Surroundings) -> None:
    """Accept a probe that asks whether the system is healthy, which is asked anyway; else raise Unmapped."""
    kind = provider.get("type")
    if kind == "http":
        host = urlsplit(str(provider.get("url"))).hostname
        around.node(host, "provider.url")
        if tolerance not in (None, 200):
            raise Unmapped("tolerance", f"{tolerance!r} is not the status 200, or none")
        return
    said = f"{provider.get('module')}.{provider.get('func')}"
    if kind != "python" or said not in HEALTHY:
        raise Unmapped(
            "provider.func" if kind == "python" else "provider.type", "only its own tool can ask it"
        )
    if tolerance not in (None, True):
        raise Unmapped("tolerance", f"{tolerance!r} is not true")


HEALTHY = (
    "chaosk8s.probes.all_microservices_healthy",
    "chaosk8s.probes.microservice_available_and_healthy",
    "chaosk8s.deployment.probes.deployment_available_and_healthy",
    "chaosk8s.statefulset.probes.statefulset_fully_available",
)
