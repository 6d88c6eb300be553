# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node asks its own system: is it healthy, does it lead, how far has it come."""

from __future__ import annotations

import importlib
from typing import Any


def client_module(system: str) -> Any:
    """Return the adapter of a system, `roles/<system>/files/client.py`."""
    return importlib.import_module(f"ansible_collections.foundation.testbed.roles.{system}.files.client")


def status(system: str) -> dict[str, Any]:
    """Ask this node's own member: `{healthy, leader, revision, error}`; never raises."""
    try:
        return dict(client_module(system).status())
    except Exception as error:
        return {
            "healthy": False,
            "leader": False,
            "revision": None,
            "error": f"{type(error).__name__}: {error}",
        }


def version(system: str) -> str:
    """Version of this node's own member, or why it is not known; never raises."""
    try:
        return str(client_module(system).version())
    except Exception as error:
        return f"unknown ({type(error).__name__}: {error})"
