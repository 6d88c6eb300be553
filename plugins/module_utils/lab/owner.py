# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which provider made a lab of this machine: no other may touch it, as it does not know its nodes."""

from __future__ import annotations

from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths

# Labs of containers say nothing of it.
DEFAULT = "container"


def require(paths: LabPaths, provider: str) -> None:
    """Raise LabError where another provider's nodes stand in this lab."""
    there = _of(paths)
    if there not in (None, provider):
        raise LabError(
            f"provider: given {provider}, but the lab {paths.testbed_id} has nodes of the provider {there}; "
            "destroy it with that first, or choose another testbed_id"
        )


def write(paths: LabPaths, provider: str) -> None:
    """Say whose nodes these are."""
    paths.home.mkdir(parents=True, exist_ok=True)
    (paths.home / "provider").write_text(f"{provider}\n", encoding="utf-8")


def _of(paths: LabPaths) -> Optional[str]:
    try:
        return (paths.home / "provider").read_text(encoding="utf-8").strip()
    except OSError:
        return DEFAULT if paths.node_names() else None
