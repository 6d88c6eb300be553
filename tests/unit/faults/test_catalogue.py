# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docs, modules and the node's own code say the same of every kind of fault."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.doc_fragments.fault_module import ModuleDocFragment
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    ClusterView,
    fault_class,
    fault_kinds,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._switches import lacks
from ansible_collections.foundation.testbed.plugins.plugin_utils import catalogue
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_action import allowed_keys, own_program

PLUGINS = "ansible_collections.foundation.testbed.plugins"
SHARED = set(yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"])


def module(kind):
    return importlib.import_module(f"{PLUGINS}.modules.{kind}")


def test_the_catalogue_in_the_docs_is_what_the_code_says():
    text = catalogue.DOCUMENT.read_text(encoding="utf-8")
    assert catalogue.written(text) == text, "run make docs"
    text = catalogue.PROVIDERS_DOCUMENT.read_text(encoding="utf-8")
    assert catalogue.written(text, catalogue.abilities()) == text, "run make docs"


def test_what_a_row_says_of_power_is_what_the_switches_can_do():
    """A plan is refused by the switches' table: the catalogue must not promise another one."""
    for row in fault_class("power").catalogue:
        action = row.example.removeprefix("action: ").split(",")[0]
        assert ("container" in row.refused) is bool(lacks(action, "container"))
        assert not lacks(action, "vm") and "vm" not in row.refused
        named = [name for name in ("redfish", "ipmi", "sysrq") if name in row.needs["baremetal"]]
        assert named == [name for name in ("redfish", "ipmi", "sysrq") if not lacks(action, name)]


@pytest.mark.parametrize("kind", fault_kinds())
def test_every_kind_has_a_module_an_action_and_rows(kind):
    action = importlib.import_module(f"{PLUGINS}.action.{kind}").ActionModule
    assert action.kind == kind
    rows = fault_class(kind).catalogue
    assert rows and all(row.fault and row.example and row.mechanism and row.evidence for row in rows)
    assert all({*row.refused, *row.needs} <= set(catalogue.PROVIDERS) for row in rows)


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


def modules():
    folder = Path(importlib.import_module(f"{PLUGINS}.modules.preflight").__file__).parent
    return {path.stem: module(path.stem) for path in sorted(folder.glob("*.py"))}


def takes_testbed_id(documentation):
    fragments = documentation.get("extends_documentation_fragment", "")
    shared = any(name in str(fragments) for name in ("node_module", "fault_module"))
    return shared or "testbed_id" in documentation.get("options", {})


def test_the_action_group_names_every_module_that_takes_testbed_id():
    """module_defaults of the group would silently leave out one that is not named."""
    runtime = yaml.safe_load((catalogue.DOCUMENT.parents[1] / "meta/runtime.yml").read_text(encoding="utf-8"))
    takers = [
        name for name, code in modules().items() if takes_testbed_id(yaml.safe_load(code.DOCUMENTATION))
    ]
    assert runtime["action_groups"]["testbed"] == takers


def test_examples_name_inventories_that_exist():
    root = catalogue.DOCUMENT.parents[1]
    for name, code in modules().items():
        for inventory in re.findall(r"-i (inventories/\S+)", code.EXAMPLES):
            assert (root / inventory).is_dir(), name


def test_the_example_of_a_preflight_is_a_program_that_its_kind_makes():
    (task,) = yaml.safe_load(module("preflight").EXAMPLES)
    (asked,) = task["foundation.testbed.preflight"]["faults"]
    nodes = {f"n{i}": f"10.77.0.1{i}" for i in (1, 2)}
    said = {"peers": "n2", "delay": "50ms", "for": "5s"}
    _, program = own_program(asked["type"], said, "n1", ["n1"], ClusterView("t", nodes, {}, {}, {}))
    assert asked["node"] == program


@pytest.mark.parametrize("kind", fault_kinds())
def test_every_kind_has_a_page_that_explains_all_it_may_be_told(kind):
    page = (catalogue.DOCUMENT.parent / "faults" / f"{kind}.md").read_text(encoding="utf-8")
    assert [key for key in fault_class(kind).parameters if f"`{key}`" not in page] == []


@pytest.mark.parametrize("kind", fault_kinds())
def test_a_module_shows_a_task_and_an_ad_hoc_command(kind):
    examples = module(kind).EXAMPLES
    tasks = yaml.safe_load(examples)
    assert any(f"foundation.testbed.{kind}" in task for task in tasks)
    assert f"-m foundation.testbed.{kind} -a" in examples
    assert yaml.safe_load(module(kind).RETURN)
