# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab's power programs are asked alike, whether this machine has them or a hypervisor elsewhere."""

from __future__ import annotations

import json
import subprocess

import pytest
from ansible_collections.foundation.testbed.plugins.action import power_program
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.desk import records_of
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import power_dir
from ansible_collections.foundation.testbed.plugins.plugin_utils.hypervisor_desk import Desk, offset_ms
from hypothesis import given
from hypothesis import strategies as st


class LocalShell:
    """A shell as ssh opens it, of this machine."""

    address = "192.0.2.10"

    def run(self, script, timeout_s=None):
        return subprocess.run(["sh"], input=script, text=True, check=True, capture_output=True).stdout


@pytest.fixture(params=[None, LocalShell()], ids=["here", "elsewhere"])
def desk(request, tmp_path):
    return Desk(LabPaths(tmp_path, "t"), request.param)


def test_both_desks_answer_alike(desk):
    folder = power_dir(desk.lab) / "adhoc-power-n1-5"
    folder.mkdir(parents=True)
    fault = {"id": "power", "node": "n1", "start_s": 0, "end_s": 30}
    (folder / "job.json").write_text(json.dumps({"run": "r", "start_wall_ns": 0, "faults": [fault]}))
    entry = {
        "id": "power",
        "node": "n1",
        "type": "power",
        "action": "off",
        "applied": True,
        "ended_ns": 10**9,
    }
    (folder / "cut.power.n1.json").write_text(json.dumps(entry))
    assert desk.ask("living")["runs"] == []
    assert desk.ask("ad_hoc", prefix="adhoc-power-n1")["job"] is None, "its program does not live"
    (found,) = desk.ask("faults", node="n1")["faults"]
    assert (found["action"], found["since_s"], found["until_s"]) == ("off", 1.0, 30.0)
    ledger = records_of(desk.lab, "r") / "power-n1" / "ledger.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.write_text('{"event": "check", "able": false, "reasons": ["no"]}\n')
    told = desk.ask("outcome", run="r", node="n1", timeout_s=5)["entries"]
    assert told["check"]["reasons"] == ["no"]


def test_what_cannot_be_is_told(desk):
    with pytest.raises(LabError):
        desk.ask("start", job={"run": "r", "testbed_id": "t", "ahead_s": 1}, switches={"n1": {}})


def test_ledgers_come_home(desk, tmp_path):
    ledger = records_of(desk.lab, "r") / "power-n1" / "ledger.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.write_text("ä\n", encoding="utf-8")
    power_program.bring_home(desk, {"run": "r", "records": str(tmp_path / "home")})
    assert (tmp_path / "home/power-n1/ledger.jsonl").read_text(encoding="utf-8") == "ä\n"


class Answers:
    """A desk that gives these answers, one after the other, the last of them for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def ask(self, _what, _wait_s, **_details):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            raise LabError(answer)
        return {"ended": False, "lives": False, **answer}


@pytest.mark.parametrize(
    ("answers", "ended", "why"),
    [
        (["the line broke", {"lives": True}, {"ended": True}], True, "None"),
        ([{"lives": True}, {}], False, "has not come to its end"),
        (["nobody answers"], False, "nobody answers"),
    ],
)
def test_a_line_that_breaks_is_tried_again(monkeypatch, answers, ended, why):
    monkeypatch.setattr(power_program, "RETRY_S", 0.01)
    found, told = power_program.await_end(Answers(*answers), "r", 0.3)
    assert found is ended and why in str(told)


@given(st.integers(0, 10**12), st.integers(0, 10**10), st.integers(-(10**12), 10**12), st.floats(0, 1))
def test_a_clock_is_never_blamed_for_the_way_there(asked_ns, way_ns, ahead_ns, part):
    """Whenever within the question it was read, what is told is no more than what it is ahead or behind."""
    heard_ns = asked_ns + int(way_ns * part) + ahead_ns
    told = offset_ms(asked_ns, heard_ns, asked_ns + way_ns)
    assert abs(told) <= abs(ahead_ns) / 1e6 + 1e-6
    assert told == 0 or (told > 0) == (ahead_ns > 0)


def test_a_clock_that_is_too_far_away_keeps_a_plan_from_starting(tmp_path):
    desk = Desk(LabPaths(tmp_path, "t"), LocalShell())
    assert desk.clock_problem({"clock_offset_ms": 200.0}) is None
    assert "of the hypervisor 192.0.2.10 is -300 ms from" in desk.clock_problem({"clock_offset_ms": -300.0})
    assert desk.clock_problem(desk.ask("living")) is None
