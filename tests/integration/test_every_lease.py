# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lease, as a sceptic would test it: in short here, every fault in every way in `make bench-faults`."""

from __future__ import annotations

import leases
import pytest
from said import SAID

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def cluster(lab):
    for node in leases.NODES:
        leases.prepare(lab, node)
    yield leases.cluster_of(lab)
    for node in leases.NODES:
        leases.tidy(lab, node)


@pytest.mark.parametrize(
    ("way", "name"),
    [("holder killed", "link: duplicate"), ("ssh cut", "partition: halves"), ("reboot", "storage: truncate")],
)
def test_whatever_dies_no_fault_outlives_its_plan(lab, cluster, way, name):
    assert leases.try_way(lab, "n1", way, SAID[name], cluster) == []


def test_two_runs_at_once_leave_each_other_alone(lab, cluster):
    assert leases.try_two_runs(lab, "n2", SAID["partition: peers"], cluster) == []


def test_an_ad_hoc_command_that_is_killed_changes_nothing(lab, cluster):
    """With all that it has begun; the provider's program is no child of it."""
    assert leases.try_killed_controller(lab, "n1", SAID["power: off"], cluster) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_mixes_leave_no_trace(lab, cluster, seed):
    node = leases.NODES[seed % 3]
    assert leases.try_mix(lab, node, seed, cluster) == []
