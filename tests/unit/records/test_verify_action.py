# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health of systems: their own checks, on the hosts of every inventory source, within a bound of time."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible_collections.foundation.testbed.plugins.action import verify

SECOND_SOURCE = "all: {children: {kv: {hosts: {n1: {ansible_connection: local, answer: 42}}}}}\n"
CHECK = """
testinfra_hosts = ["ansible://kv"]

def test_answer(host):
    assert host.ansible.get_variables()["answer"] == 42
"""


@pytest.fixture
def health(tmp_path, monkeypatch):
    """Verify a system `kv` with this check; returns the task's result."""

    def go(check, sources, stale=False):
        (tmp_path / "kv/tests").mkdir(parents=True)
        (tmp_path / "kv/tests/test_kv.py").write_text(check)
        monkeypatch.setattr(verify, "known_systems", lambda: {"kv": tmp_path / "kv"})
        (tmp_path / "network/tests").mkdir(parents=True)  # no topology to look at
        monkeypatch.setattr(verify, "ROLES", tmp_path)
        if stale:
            (tmp_path / "verify.xml").write_text("<former/>")
        arguments = {"systems": ["kv"], "inventory": sources, "junit_dir": str(tmp_path)}
        task = SimpleNamespace(args=arguments, async_val=0, check_mode=False, action="verify")
        mocks = {name: MagicMock() for name in ("play_context", "loader", "templar", "shared_loader_obj")}
        return verify.ActionModule(task, connection=MagicMock(), **mocks).run(task_vars={})

    return go


def sources(tmp_path):
    first, second = tmp_path / "first.yml", tmp_path / "second.yml"
    first.write_text("all: {hosts: {lonely: {}}}\n")
    second.write_text(SECOND_SOURCE)
    return [str(first), str(second)]


def test_a_check_sees_the_hosts_of_every_source(health, tmp_path):
    """The group of the system is in the second one; a list of hosts from the command line has no groups."""
    result = health(CHECK, [*sources(tmp_path), "n7,n8"])
    assert not result.get("failed"), result
    assert (tmp_path / "verify.xml").read_text().count("<testcase") == 1


def test_a_check_that_fails_says_so_and_has_its_status(health, tmp_path):
    result = health(CHECK.replace("42", "43"), sources(tmp_path))
    assert (result["failed"], result["testbed_exit"]) == (True, 13)
    assert result["msg"].startswith("the cluster is not healthy: the checks of kv say: 1 failed")


def test_checks_that_do_not_end_are_one_clear_error(health, tmp_path, monkeypatch):
    """And what an earlier verification left is not taken for theirs."""
    monkeypatch.setattr(verify, "TIMEOUT_S", 0.5)
    result = health("import time\ntime.sleep(60)\n", sources(tmp_path), stale=True)
    assert (result["failed"], result["testbed_exit"]) == (True, 13)
    assert result["msg"] == "the cluster is not healthy: the checks of kv did not end within 0.5 s"
    assert not (tmp_path / "verify.xml").exists()
