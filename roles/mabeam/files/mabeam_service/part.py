# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Coordination and Economics are to the service that serves both."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, NamedTuple

from testbed_service.web import Handler


class Part(NamedTuple):
    """One half of the service: its operations, and what goes on in the background."""

    handlers: Mapping[str, Handler]
    background: list[Coroutine[Any, Any, None]]
