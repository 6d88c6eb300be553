# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docs, modules and the node's own code say the same of every kind of fault."""

from __future__ import annotations

import importlib

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.doc_fragments.fault_module import ModuleDocFragment
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import fault_class, fault_kinds
from ansible_collections.foundation.testbed.plugins.plugin_utils import catalogue
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_action import allowed_keys

PLUGINS = "ansible_collections.foundation.testbed.plugins"
SHARED = set(yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"])


def module(kind):
    return importlib.import_module(f"{PLUGINS}.modules.{kind}")


def test_the_catalogue_in_the_docs_is_what_the_code_says():
    text = catalogue.DOCUMENT.read_text(encoding="utf-8")
    assert catalogue.written(text) == text, "run make docs"


@pytest.mark.parametrize("kind", fault_kinds())
def test_every_kind_has_a_module_an_action_and_rows(kind):
    action = importlib.import_module(f"{PLUGINS}.action.{kind}").ActionModule
    assert action.kind == kind
    rows = fault_class(kind).catalogue
    assert rows and all(row.fault and row.example and row.mechanism and row.evidence for row in rows)
    assert all(set(row.refused) <= set(catalogue.PROVIDERS) for row in rows)


@pytest.mark.parametrize("kind", fault_kinds())
def test_a_modules_options_are_the_kinds_parameters(kind):
    options = yaml.safe_load(module(kind).DOCUMENTATION)["options"]
    assert set(options) == set(allowed_keys(fault_class(kind))) - SHARED
    assert not set(options) & SHARED
    for name, parameter in fault_class(kind).parameters.items():
        # With state=absent none is needed, so none is required outright.
        assert "required" not in options[name], name
        assert ("O(state=present)" in str(options[name]["description"])) is parameter.required, name
        if "default" in options[name]:
            assert parameter.parse(options[name]["default"]) == parameter.default, name
        for word in options[name].get("choices", []):
            assert parameter.parse(word) == word


@pytest.mark.parametrize("kind", fault_kinds())
def test_a_module_shows_a_task_and_an_ad_hoc_command(kind):
    examples = module(kind).EXAMPLES
    tasks = yaml.safe_load(examples)
    assert any(f"foundation.testbed.{kind}" in task for task in tasks)
    assert f"-m foundation.testbed.{kind} -a" in examples
    assert yaml.safe_load(module(kind).RETURN)
