# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the provider does to nodes is listed with the rest, and keeps a run from starting."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import (
    active_faults,
    living_runs,
    lock_of,
    power_dir,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.admission import Admission, refuse_living
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.provider_faults import (
    lab_of,
    listed,
    unreachable,
)


def active(lab, node):
    return listed(active_faults(lab, node))


def lab_with(tmp_path, *entries):
    """A lab in which the run r1 does something to n1 and n2."""
    lab = lab_of("t", {"testbed_state_dir": str(tmp_path)})
    folder = power_dir(lab) / "r1"
    folder.mkdir(parents=True)
    faults = [{"id": "f", "node": node, "start_s": 0.0, "end_s": 30.0} for node in ("n1", "n2")]
    job = {"run": "r1", "start_wall_ns": time.time_ns(), "faults": faults}
    Path(folder, "job.json").write_text(json.dumps(job))
    for entry in entries:
        whole = {"id": "f", "type": "power", "ended_ns": time.time_ns(), **entry}
        Path(folder, f"cut.f.{entry['node']}.json").write_text(json.dumps(whole))
    return lab, folder


def test_what_holds_is_listed_with_its_end(tmp_path):
    lab, _ = lab_with(tmp_path, {"node": "n1", "action": "off", "applied": True})
    (fault,) = active(lab, "n1")
    assert (fault["fault"], fault["type"], fault["run"]) == ("f", "power", "r1")
    assert 28 < fault["left_s"] <= 30 and fault["until"] > fault["since"]
    assert unreachable([fault]) and active(lab, "n2") == []


def test_what_has_not_begun_or_is_over_is_not(tmp_path):
    lab, folder = lab_with(
        tmp_path,
        {"node": "n1", "action": "slow", "applied": False},
        {"node": "n2", "action": "slow", "applied": True, "last": {}},
    )
    assert active(lab, "n1") == active(lab, "n2") == []
    (folder / "job.json").unlink()
    assert not unreachable([{"action": "slow"}])


def test_a_run_is_refused_while_another_ones_program_lives(tmp_path):
    lab, folder = lab_with(tmp_path)
    assert living_runs(lab) == []
    with lock_of(folder):
        verdict = Admission()
        refuse_living(verdict, living_runs(lab))
    assert verdict.reasons == ["the power program of the run r1 still goes on; wait for its end, or heal"]
    assert verdict.status == ExitStatus.TESTBED_FAILED
