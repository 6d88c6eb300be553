# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""While n3 is cut off: the majority goes on, the minority knows that it is none."""

from __future__ import annotations

import json
import time

MAJORITY = ("n1", "n2")
ELECTED_S = 20


def test_the_fault_holds(host):
    """The node itself lists it."""
    active = host.check_output("python3 /usr/local/lib/foundation-testbed/agent.pyz active")
    assert [fault["type"] for fault in json.loads(active)] == ["partition"]


def test_only_the_majority_commits(host):
    """A proposal is committed on the side of the majority, and on no other."""
    name = host.ansible.get_variables()["inventory_hostname"]
    deadline = time.monotonic() + ELECTED_S
    while (healthy := host.run("etcdctl endpoint health").succeeded) != (name in MAJORITY):
        assert time.monotonic() < deadline, f"{name} is {'healthy' if healthy else 'not healthy'}"
