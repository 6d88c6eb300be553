# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names that resolve wrongly, on real nodes."""

from __future__ import annotations

import pytest
from fault_lab import differences, install_agent, stage, state_of
from support import wait_until

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def node(lab):
    """The node that is told wrong, with this checkout's agent."""
    install_agent(lab, "n1")
    return "n1"


def addresses(lab, node, name):
    """What a fresh process finds."""
    return sorted(set(lab.on(node, f"getent ahosts {name} | cut -d' ' -f1", check=False).split()))


def seen_by_services(lab, node):
    """The hosts file in the mount namespace of a service that has one of its own."""
    return lab.on(node, "cat /proc/$(systemctl show -P MainPID systemd-logind)/root/etc/hosts")


def fault(start_s, end_s, dns=False, **names):
    return {
        "type": "name_service",
        "start_s": start_s,
        "end_s": end_s,
        "node": {"names": names, "dns": dns},
    }


def test_two_overlap_and_each_ends_by_itself(lab, node):
    """The first ends before the second, which lies above it; then the node is as it was."""
    before, right = state_of(lab, node), {name: addresses(lab, node, name) for name in ("n2", "n3")}
    wrong = right["n3"][0]
    staged = stage(lab, node, [fault(1, 7, n2=None, n3=None), fault(4, 11, n2=wrong)])
    staged.wait_for(1.5)
    assert (addresses(lab, node, "n2"), addresses(lab, node, "n3")) == ([], [])
    assert not any(line.endswith("n2") for line in seen_by_services(lab, node).splitlines())
    staged.wait_for(4.5)
    assert (addresses(lab, node, "n2"), addresses(lab, node, "n3")) == ([wrong], [])
    staged.wait_for(7.5)
    assert (addresses(lab, node, "n2"), addresses(lab, node, "n3")) == ([wrong], right["n3"])
    assert addresses(lab, node, "localhost") and addresses(lab, node, "n1")
    staged.finish()
    assert staged.ledger("error") == []
    records = staged.ledger("record")
    assert [record["present"] and record["effective"] for record in records] == [True, True]
    assert records[1]["answers"]["during"] == {"n2": [wrong]}
    assert [entry["traces"] for entry in staged.ledger("gone")] == [[], []]
    assert all(entry["probe_passed"] for entry in staged.ledger("gone"))
    assert differences(before, state_of(lab, node)) == []


def test_the_agents_death_ends_it(lab, node):
    before = state_of(lab, node)
    staged = stage(lab, node, [fault(1, 60, n2=None), fault(1, 60, n3=None, dns=True)])
    staged.wait_for(2)
    assert (addresses(lab, node, "n2"), addresses(lab, node, "n3")) == ([], [])
    lab.on(node, f"systemctl kill --signal=SIGKILL {staged.unit}")
    wait_until(lambda: addresses(lab, node, "n2") and addresses(lab, node, "n3"), 20, "names are right again")
    wait_until(lambda: not lab.on(node, f"systemctl list-units -q {staged.unit}"), 20, "the unit has ended")
    assert differences(before, state_of(lab, node)) == []


def test_somebody_who_takes_it_away_shows(lab, node):
    before = state_of(lab, node)
    staged = stage(lab, node, [fault(1, 6, n2=None)])
    staged.wait_for(3)
    lab.on(node, "umount /etc/hosts")
    staged.finish()
    last = staged.ledger("record")[0]
    assert (last["present"], last["effective"]) == (False, True)
    assert last["lookups"]["otherwise"] > 0
    assert differences(before, state_of(lab, node)) == []
