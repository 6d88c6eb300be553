# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Modules that run on nodes: none of them does anything on a host of another testbed."""

from __future__ import annotations

import importlib
import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.foundation.testbed.plugins.module_utils.agent import ansible_module, enrolment

MODULES = "ansible_collections.foundation.testbed.plugins.modules"
SPEC = {"run": {"type": "str", "required": True}, "patience_s": {"type": "float", "default": 20.0}}


@pytest.fixture
def marker(tmp_path, monkeypatch):
    path = tmp_path / "enrolment.json"
    monkeypatch.setattr(ansible_module, "require", lambda testbed_id: enrolment.require(testbed_id, path))
    return path


def failure(call, capsys, **arguments):
    """Return the words with which a module that is called with these arguments fails."""
    with patch_module_args(arguments), pytest.raises(SystemExit) as end:
        call()
    assert end.value.code == 1
    return json.loads(capsys.readouterr().out)["msg"]


def test_a_host_of_this_testbed_gets_its_module(marker):
    marker.write_text('{"testbed_id": "mine"}')
    with patch_module_args({"testbed_id": "mine", "run": "r", "_ansible_check_mode": True}):
        module = ansible_module.enrolled_module(SPEC)
    assert module.params == {"testbed_id": "mine", "run": "r", "patience_s": 20.0}
    assert module.check_mode
    assert "testbed_id" not in SPEC


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "not enrolled in any testbed"),
        ('{"testbed_id": "theirs"}', "'theirs', not in 'mine'"),
        ("{", "cannot be read"),
    ],
)
def test_any_other_host_is_refused(marker, capsys, text, words):
    if text is not None:
        marker.write_text(text)
    assert words in failure(lambda: ansible_module.enrolled_module(SPEC), capsys, testbed_id="mine", run="r")


def test_the_testbed_must_be_named(marker, capsys):
    words = failure(lambda: ansible_module.enrolled_module(SPEC), capsys, run="r")
    assert words == "missing required arguments: testbed_id"


def test_options_of_a_module_are_handed_on(marker, capsys):
    marker.write_text('{"testbed_id": "mine"}')
    options = {"mutually_exclusive": [("run", "patience_s")]}
    words = failure(
        lambda: ansible_module.enrolled_module(SPEC, **options),
        capsys, testbed_id="mine", run="r", patience_s=1,
    )  # fmt: skip
    assert "mutually exclusive" in words


@pytest.mark.parametrize(
    ("name", "arguments"), [("collect", {"run": "r", "dest": "/tmp"}), ("healthy", {"system": "etcd"})]
)
def test_a_module_begins_with_the_question_whose_host_it_is(marker, capsys, name, arguments):
    module = importlib.import_module(f"{MODULES}.{name}")
    assert "not enrolled" in failure(module.main, capsys, testbed_id="mine", **arguments)
