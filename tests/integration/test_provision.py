# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab that does not come up is taken back whole, and says which node failed and why."""

from __future__ import annotations

import re
import subprocess

import pytest
from support import HERE, ROOT, STATE_DIR, Lab, kill_tree, nothing_new, traces_on_machine, wait_until

pytestmark = pytest.mark.lab


@pytest.fixture
def unmade(request, tmp_path):
    """A lab that is not there, and must leave nothing behind."""
    lab = Lab(HERE / getattr(request, "param", "inventory_fail"), tmp_path)
    lab.playbook("destroy")
    before = traces_on_machine()
    yield lab
    wait_until(lambda: nothing_new(before), 20, "the machine as it was before")


def test_a_node_that_dies_is_named_with_its_console(unmade):
    outcome = unmade.playbook("provision")
    assert outcome.status == 2
    words = " ".join(outcome.output.split())
    assert re.search(r"node_start_failures: n2: its processes ended while it booted", words)
    assert "timeout_starting_nodes: n" not in words
    assert (STATE_DIR / "failures" / "ifail" / "n2.console.log").exists()


@pytest.mark.parametrize("unmade", ["inventory_kill"], indirect=True)
def test_nodes_that_are_late_are_told_apart(unmade):
    outcome = unmade.playbook("provision", "-e", "lab_container_timeout_s=0.05")
    words = " ".join(outcome.output.split())
    assert outcome.status == 2
    assert "timeout_starting_nodes: n1: no ssh server answered at 10.77.4.11 within 0.05 s" in words


@pytest.mark.parametrize("unmade", ["inventory_kill"], indirect=True)
def test_destroy_cleans_up_after_a_provision_that_was_killed(unmade):
    process = subprocess.Popen(
        unmade.command("provision"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    console = STATE_DIR / "labs" / "ikill" / "nodes" / "n1" / "console.log"
    wait_until(console.exists, 60, "the start of the first node")
    kill_tree(process)
    outcome = unmade.playbook("destroy")
    assert (outcome.status, outcome.changed()) == (0, 1), outcome.output
    assert unmade.playbook("destroy").changed() == 0
