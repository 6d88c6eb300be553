# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tests of the agent share."""

from __future__ import annotations

import json

FAULTS = "ansible_collections.foundation.testbed.plugins.module_utils.faults"


def events(folder):
    """The events of a ledger."""
    return [json.loads(line)["event"] for line in (folder / "ledger.jsonl").read_text().splitlines()]
