# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The clock of a container is the host's: nobody touches it."""

from __future__ import annotations

import time

import pytest
from fault_lab import differences, install_agent, stage, state_of

pytestmark = pytest.mark.lab


def test_a_container_is_refused_and_the_hosts_clock_left_alone(lab):
    install_agent(lab, "n3")
    before, offset_s = state_of(lab, "n3"), time.time() - time.monotonic()
    program = {"action": "step", "offset_s": -30.0}
    staged = stage(lab, "n3", [{"type": "clock", "start_s": 1, "end_s": 2, "node": program}])
    staged.finish()
    (check,) = staged.ledger("check")
    assert (check["able"], check["reasons"]) == (False, ["this provider's nodes share the host's clock"])
    assert staged.ledger("apply") == []
    assert abs(time.time() - time.monotonic() - offset_s) < 1
    assert differences(before, state_of(lab, "n3")) == []
