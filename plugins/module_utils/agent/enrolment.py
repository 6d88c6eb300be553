# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The marker that says this host belongs to a testbed: nothing is broken on a host without it."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import ENROLMENT


class NotEnrolled(Exception):
    """This host does not belong to the testbed that wants to break it."""


def enrolled_in(marker: Path = ENROLMENT) -> str:
    """Return the id of the testbed that this host belongs to; raises NotEnrolled when there is none."""
    try:
        return str(json.loads(marker.read_text(encoding="utf-8"))["testbed_id"])
    except FileNotFoundError:
        raise NotEnrolled(f"this host is not enrolled in any testbed: {marker} does not exist") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotEnrolled(f"this host's enrolment cannot be read: {marker}: {error}") from None


def require(testbed_id: str, marker: Path = ENROLMENT) -> None:
    """Raise NotEnrolled unless this host belongs to `testbed_id`."""
    present = enrolled_in(marker)
    if present != testbed_id:
        raise NotEnrolled(f"this host is enrolled in the testbed {present!r}, not in {testbed_id!r}")
