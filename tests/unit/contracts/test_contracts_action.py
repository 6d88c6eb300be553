# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action `contracts`: what a node found is recorded and judged, and a node that says nothing fails."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible_collections.foundation.testbed.plugins.action.contracts import ActionModule

KEPT = {"case": "c", "operation": "o", "outcome": "ok", "clause": "status", "mismatches": []}
WRONG = {**KEPT, "mismatches": [{"at": "", "expected": "201", "given": "500"}]}
VARS = {
    "inventory_hostname": "n1",
    "groups": {"foundation": ["n1", "n2"]},
    "hostvars": {"n1": {"testbed_address": "10.0.0.1"}, "n2": {"testbed_address": "10.0.0.2"}},
}


@pytest.fixture
def act(tmp_path, monkeypatch):
    """Run the action where the node says something; returns its result, and what the node was given."""

    def go(said, **options):
        args = {"testbed_id": "t", "systems": ["foundation"], "results_dir": str(tmp_path), **options}
        task = SimpleNamespace(args=args, check_mode=False, async_val=0, diff=False)
        action = ActionModule(task, None, None, None, None, None)
        given = {}

        def execute(name, module_args, task_vars):
            given.update(module_args)
            return said

        monkeypatch.setattr(action, "_execute_module", execute)
        monkeypatch.setattr("ansible.plugins.action.ActionBase.run", lambda *_arguments: {})
        monkeypatch.setattr(action, "validate_argument_spec", lambda _spec: (None, {"only": [], **args}))
        return action.run(task_vars=VARS), given

    return go


def test_what_is_kept_is_recorded(act, tmp_path):
    result, given = act({"changed": True, "clauses": {"events": [KEPT]}}, only=["events"])
    assert not result.get("failed") and result["clauses"] == {"events": 1}
    assert json.loads((tmp_path / "contracts-n1.json").read_text())["contracts"] == {"events": [KEPT]}
    assert given["services"]["foundation"] == {
        "here": "http://10.0.0.1:4100",
        "another": "http://10.0.0.2:4100",
    }
    assert list(given["contracts"]) == ["events"]


def test_what_is_broken_fails_with_its_words(act):
    result, _given = act({"changed": True, "clauses": {"events": [WRONG, KEPT]}})
    assert result["failed"] and result["testbed_exit"] == 10
    assert result["msg"] == "events: c: o, ok: status: expected 201; given 500"


def test_a_node_that_says_nothing_fails(act):
    assert act({"changed": True})[0]["failed"]
    assert act({"failed": True, "msg": "not enrolled"})[0]["msg"] == "not enrolled"


def test_a_contract_that_there_is_not_is_bad_input(act):
    result, given = act({}, only=["none"])
    assert result["testbed_exit"] == 12 and "given 'none'" in result["msg"] and not given
