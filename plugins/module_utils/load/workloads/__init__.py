# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workloads by name. A workload turns a scheduled operation into arguments and knows what to read last.

`read_only` operations have certainly failed when no answer came; the answer to a `tells_value` operation
says a value, which the history keeps in place of what was asked.
"""

from __future__ import annotations

from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads import (
    auctions,
    consensus,
    events,
    register,
    registry,
)

WORKLOADS = {
    "auctions": auctions.Auctions,
    "consensus": consensus.Consensus,
    "events": events.Events,
    "register": register.Register,
    "registry": registry.Registry,
}
MIXES = {
    "auctions": auctions.MIX,
    "consensus": consensus.MIX,
    "events": events.MIX,
    "register": register.MIX,
    "registry": registry.MIX,
}
"""Shares of each workload's operations, where nobody says otherwise."""
