# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes of a real system are killed, stopped and kept down, and nothing of it stays."""

from __future__ import annotations

import pytest
from fault_lab import differences, install_agent, stage, state_of
from support import wait_until

pytestmark = pytest.mark.lab

# What systemd calls a unit that does not run: one that was killed may count as failed.
DOWN = ("inactive", "failed")

NODE, UNIT = "n1", "etcd.service"


@pytest.fixture(scope="module")
def node(lab):
    """A node with this checkout's agent, the same after the tests as before them."""
    install_agent(lab, NODE)
    before = state_of(lab, NODE)
    yield lab
    wait_until(lambda: differences(before, state_of(lab, NODE)) == [], 20, "the node as it was")


def process(start_s, end_s, **program):
    program = program if "pattern" in program else {"units": [UNIT], **program}
    return {"type": "process", "start_s": start_s, "end_s": end_s, "node": program}


def main_pid(lab):
    return int(lab.on(NODE, f"systemctl show -P MainPID {UNIT}"))


def state(lab, pid):
    return lab.on(NODE, f"ps -o state= -p {pid}", check=False).strip()


def active(lab):
    return lab.on(NODE, f"systemctl is-active {UNIT}", check=False).strip()


def proof(ledger, fault="process-1"):
    """The last evidence while it held, and what was left."""
    own = [entry for entry in ledger if entry["fault"] == fault]
    errors = [entry for entry in own if entry["event"] == "error"]
    assert not errors, errors
    held = [entry for entry in own if entry["event"] == "evidence"]
    (gone,) = [entry for entry in own if entry["event"] == "gone"]
    assert all(entry["present"] for entry in held), held
    assert gone["traces"] == [] and gone["probe_passed"], gone
    return held[-1]


def test_one_after_the_other_on_a_running_system(node):
    """Kill, pause and crash loop of a unit; beside them a pattern and a unit that is not there."""
    node.on(NODE, "nohup sleep 4711 >/dev/null 2>&1 & echo")
    pid = main_pid(node)
    staged = stage(
        node,
        NODE,
        [
            process(1, 5, action="kill"),
            process(6, 8, action="pause"),
            process(9, 12, action="crash_loop", interval_s=1.0),
            process(1, 3, action="kill", pattern="sleep 47[0-9]1"),
            process(1, 3, action="kill", units=["etc.service"]),
            process(13, 15, action="restart"),
        ],
    )
    staged.wait_for(7)
    second = main_pid(node)
    assert second not in (0, pid) and state(node, second) == "T"
    ledger = staged.finish()

    killed = proof(ledger, "process-1")
    assert [found["pid"] for found in killed["processes"]] == [pid]
    assert killed["effective"] and killed["units"][UNIT]["restarts"] == 1
    assert 1.0 <= killed["units"][UNIT]["back_s"] < 4.0  # its own RestartSec=1

    paused = proof(ledger, "process-2")
    assert paused["effective"] and paused["looks"]["some_running"] <= 2
    assert [found["pid"] for found in paused["processes"]] == [second]

    looped = proof(ledger, "process-3")
    assert looped["rounds"] >= 3 and looped["hit"] >= 1 and looped["processes"][0]["pid"] == second

    by_pattern = proof(ledger, "process-4")
    assert (by_pattern["hit"], by_pattern["without_unit"], by_pattern["units"]) == (1, 1, {})

    (check,) = [entry for entry in ledger if entry["fault"] == "process-5" and entry["event"] == "check"]
    assert check["reasons"] == [
        "unit: given 'etc.service'; allowed: etcd.service (did you mean 'etcd.service'?)"
    ]
    assert proof(ledger, "process-6")["effective"]
    assert active(node) == "active"


def test_a_unit_that_is_held_stays_down_whoever_starts_it_until_the_last_fault_ends(node):
    staged = stage(
        node,
        NODE,
        [process(1, 4, action="kill", hold=True), process(2, 6, action="terminate", hold=True)],
    )
    staged.wait_for(3)
    node.on(NODE, f"systemctl start {UNIT}", check=False)
    assert active(node) in DOWN
    staged.wait_for(5)
    assert active(node) in DOWN
    ledger = staged.finish()
    assert all(proof(ledger, fault)["guarded"] for fault in ("process-1", "process-2"))
    wait_until(lambda: active(node) == "active", 20, "it runs again")
    assert "foundation-testbed" not in node.on(NODE, f"systemctl cat {UNIT}")


def test_somebody_who_lets_it_go_on_takes_the_proof_away(node):
    staged = stage(node, NODE, [process(1, 4, action="pause")])
    staged.wait_for(2.3)
    node.on(NODE, f"systemctl kill --signal=SIGCONT {UNIT}")
    held = [entry for entry in staged.finish() if entry["event"] == "evidence"]
    assert any(entry["set_going"] and not entry["present"] for entry in held), held


def test_the_agents_death_brings_everything_back(node):
    child = int(node.on(NODE, "nohup sleep 4712 >/dev/null 2>&1 & echo $!"))
    staged = stage(
        node,
        NODE,
        [process(1, 30, action="kill", hold=True), process(1, 30, action="pause", pattern="sleep 4712")],
    )
    staged.wait_for(2)
    assert active(node) in DOWN and state(node, child) == "T"
    node.on(NODE, f"systemctl kill --signal=SIGKILL {staged.unit}")
    wait_until(lambda: (active(node), state(node, child)) == ("active", "S"), 20, "all as before")
    node.on(NODE, f"kill {child}")
