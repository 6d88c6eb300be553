# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After the partition: nothing of it is left on any node, and each knows that it came to its planned end."""

from __future__ import annotations

import json


def test_no_rule_is_left(host):
    """No table of the testbed is in the node's firewall."""
    assert "foundation_testbed_" not in host.check_output("nft list tables")


def test_no_agent_goes_on_and_nothing_is_to_be_undone(host):
    """The run's unit has ended and the undo journal is empty."""
    assert host.check_output("systemctl list-units --plain --no-legend 'foundation-testbed-run-*'") == ""
    assert host.run("ls -A /var/lib/foundation-testbed/undo").stdout == ""


def test_the_fault_happened_and_was_felt(host):
    """The node's own ledger: the cut was felt, held, felt to end, and left nothing."""
    newest = host.check_output("ls -d /var/lib/foundation-testbed/runs/* | grep -v /adhoc- | tail -n 1")
    ledger = [json.loads(line) for line in host.check_output(f"cat {newest}/ledger.jsonl").splitlines()]
    events = [entry["event"] for entry in ledger if entry["fault"] == "split"]
    assert events[:3] == ["check", "load", "apply"] and events[-3:] == ["revert", "gone", "record"]
    assert ledger[-1]["event"] == "end"
