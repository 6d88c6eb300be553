# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An ad hoc fault on a busy node: it is given more time to start, and is refused only after that."""

from __future__ import annotations

import json
import time

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import TOO_LATE
from ansible_collections.foundation.testbed.plugins.modules import fault


class Module:
    """What the module sees of Ansible; the agent writes the ledgers that it is given, one a start."""

    check_mode = False

    def __init__(self, folder, *ledgers):
        self.folder, self.ledgers, self.starts = folder, list(ledgers), 0
        self.params = {
            "id": "cut", "type": "partition", "testbed_id": "t", "for_s": 5.0, "program": {}, "wait_s": 5.0,
        }  # fmt: skip

    def run_command(self, command):
        if "capable" in command:
            return 0, "[]", ""
        self.starts += 1
        time.sleep(0.002)  # runs are named by the millisecond
        (newest,) = [
            path.parent
            for path in self.folder.glob("*/program.json")
            if not path.with_name("ledger.jsonl").exists()
        ]
        entries = [json.dumps(entry) + "\n" for entry in self.ledgers.pop(0)]
        (newest / "ledger.jsonl").write_text("".join(entries), encoding="utf-8")
        return 0, "", ""

    def exit_json(self, **said):
        raise SystemExit(said)

    def fail_json(self, **said):
        raise RuntimeError(said["msg"])


LATE = [{"event": "error", "message": TOO_LATE}]
HOLDS = [{"event": "armed"}, {"event": "evidence", "present": True}]


@pytest.fixture
def module(monkeypatch, tmp_path):
    monkeypatch.setattr(fault, "run_dir", lambda run: tmp_path / run)
    monkeypatch.setattr(fault, "active_run", lambda _fault: None)
    monkeypatch.setattr(fault, "unit_command", lambda _program: ["start"])
    return lambda *ledgers: Module(tmp_path, *ledgers)


def test_a_node_that_was_too_late_is_given_more_time(module):
    late = module(LATE, LATE, HOLDS)
    with pytest.raises(SystemExit) as ended:
        fault.present(late)
    assert late.starts == 3 and ended.value.code["evidence"] == {"present": True}


def test_one_that_is_always_too_late_fails(module):
    late = module(LATE, LATE, LATE)
    with pytest.raises(RuntimeError, match=TOO_LATE):
        fault.present(late)
    assert late.starts == 3


def test_another_error_fails_at_once(module):
    broken = module([{"event": "error", "message": "no nft"}])
    with pytest.raises(RuntimeError, match="no nft"):
        fault.present(broken)
    assert broken.starts == 1
