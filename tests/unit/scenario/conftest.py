# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the tests of conditions share."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils import conditions
from condition_support import Down, Slow


@pytest.fixture
def kinds(monkeypatch):
    """Power and link faults are those of `condition_support`; any other kind is the real one."""
    known = {"power": Down, "link": Slow}
    real = conditions.fault_class
    monkeypatch.setattr(conditions, "fault_class", lambda kind: known.get(kind) or real(kind))
    monkeypatch.setattr(conditions, "fault_kinds", lambda: ["link", "partition", "power"])
