# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Contracts as files: those that are shipped are sound, and a mistake in one is told by its key."""

from __future__ import annotations

import copy
import json

import jsonschema
import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.substitution import (
    filled,
    filled_path,
    patched,
    value_at,
    variables,
    without,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.contract_check import broken, chosen, places
from ansible_collections.foundation.testbed.plugins.plugin_utils.contract_file import (
    Contract,
    contract_files,
    load_contract,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.contract_schema import DOCUMENT, schema_text
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import ROLES_DIR
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError, parse_model
from hypothesis import given
from hypothesis import strategies as st

FILES = contract_files(["foundation", "mabeam"])
GOOD = {
    "title": "Ping",
    "system": "ping",
    "operations": {
        "ping": {
            "method": "POST",
            "path": "/ping/{name}",
            "body": {"a": 1},
            "outcomes": {"ok": {"status": 200, "bind": {"id": "/id"}}},
        }
    },
    "cases": [
        {"name": "once", "variables": {"name": "x"}, "steps": [{"operation": "ping", "outcome": "ok"}]}
    ],
}


def changed(path, value):
    """The good contract with something else at a place; nothing there where the value is `...`."""
    data = copy.deepcopy(GOOD)
    *outer, last = path.split("/")
    place = data
    for part in outer:
        place = place[int(part) if isinstance(place, list) else part]
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return data


OK = "operations/ping/outcomes/ok"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (changed("titel", "x"), "titel: unknown key"),
        (changed("operations/ping/path", "ping"), "operations.ping.path: given 'ping'"),
        (changed("cases/0/steps/0/operation", "pong"), "cases[0].steps[0].operation: given 'pong'"),
        (changed("cases/0/steps/0/outcome", "done"), "cases[0].steps[0].outcome: given 'done'; allowed: ok"),
        (changed("cases/0/variables", {}), "cases[0].steps[0], ping: variable name has no value here"),
        (changed("cases/0/steps/0/node", "n2"), "cases[0].steps[0].node: given 'n2'; allowed: another, here"),
        (changed("operations/ping/outcomes/late", {"status": 504}), "outcomes.late: no case comes to it"),
        (changed(f"{OK}/answer", {"requires": ["a"]}), f"{OK.replace('/', '.')}.answer.requires: given"),
        (changed(f"{OK}/answer", {"properties": {"a": {"type": "text"}}}), "answer.properties.a.type: given"),
        (changed(f"{OK}/bind", {"id": "id"}), "bind.id: given 'id'"),
        (changed(f"{OK}/unchanged", ["look"]), "ok.unchanged: given 'look'; allowed: ping"),
        (changed("operations/ping/body", ...) | {}, None),
        (
            changed(f"{OK}/side_effects", {"x": {"operation": "ping", "outcome": "ok", "within": "2"}}),
            "side_effects.x.within: given '2'",
        ),
    ],
)
def test_a_mistake_is_told_by_its_key(data, told):
    if told is None:
        parse_model(Contract, data, "ping.yml")
        return
    with pytest.raises(InputError) as error:
        parse_model(Contract, data, "ping.yml")
    assert any(told in problem and problem.startswith("ping.yml: ") for problem in error.value.problems), (
        error.value.problems
    )


def test_patches_need_a_body():
    data = changed(f"{OK}/patches", {"no a": {"a": None}})
    parse_model(Contract, data, "ping.yml")
    del data["operations"]["ping"]["body"]
    with pytest.raises(InputError, match="where the operation has a body"):
        parse_model(Contract, data, "ping.yml")


PLACES = [
    "title",
    "system",
    "operations",
    "operations/ping",
    OK,
    f"{OK}/answer",
    f"{OK}/bind",
    "cases",
    "cases/0",
]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(PLACES), JUNK)
def test_whatever_is_written_is_a_contract_or_an_error_in_words(place, junk):
    try:
        parse_model(Contract, changed(place, junk), "ping.yml")
    except InputError as error:
        assert error.problems


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_contract_is_sound_and_as_the_published_schema_says(path):
    contract = load_contract(path)
    assert contract.system == path.parents[1].name
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()))
    validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_every_part_of_the_specification_has_its_contract():
    assert [load_contract(path).requirement for path in FILES] == ["S6.2", "S6.1", "S6.4", "S6.3"]
    assert sorted(ROLES_DIR.glob("*/contracts/*.yml")) == FILES


def test_the_published_schema_is_up_to_date():
    """`make docs` writes it anew."""
    assert DOCUMENT.read_text(encoding="utf-8") == schema_text()


def test_variables_keep_the_kind_of_their_values():
    values = {"n": 7, "name": "a/b ü"}
    assert filled({"{name}": ["{n}", "n={n}", 1]}, values) == {"a/b ü": [7, "n=7", 1]}
    assert filled_path("/x/{name}/{n}", values) == "/x/a%2Fb%20%C3%BC/7"
    assert variables(["{a}", {"{b}": "^[a-z]{1,3}$"}]) == {"a", "b"}


def test_pointers_and_patches():
    document = {"a": {"b/c": [1, {"~": 2}]}}
    assert value_at(document, "/a/b~1c/1/~0") == 2
    for nothing in ("/b", "/a/b~1c/2", "/a/b~1c/-1", "/a/b~1c/0/x"):
        with pytest.raises(LookupError):
            value_at(document, nothing)
    assert patched(document, {"a": {"x": {"y": None}}, "b": 1}) == {
        **document,
        "a": {**document["a"], "x": {}},
        "b": 1,
    }
    assert without(document, ["/a/b~1c", "/none/at/all"]) == {"a": {}}
    assert document == {"a": {"b/c": [1, {"~": 2}]}}


def test_another_node_is_the_next_one():
    services = {"a": {"n1": "u1", "n2": "u2"}, "b": {"n3": "u3"}}
    assert places("n2", services) == {
        "a": {"here": "u2", "another": "u1"},
        "b": {"here": "u3", "another": "u3"},
    }


def test_what_is_broken_is_told_in_one_line():
    wrong = {"at": "/owner", "expected": '"one"', "given": '"two"'}
    result = {"case": "c", "operation": "lookup", "outcome": "ok", "clause": "answer", "mismatches": [wrong]}
    assert broken({"registry": [result, {**result, "mismatches": []}]}) == [
        'registry: c: lookup, ok: answer at /owner: expected "one"; given "two"'
    ]
    assert chosen(["a", "b"], []) == ["a", "b"] and chosen(["a", "b"], ["b"]) == ["b"]
    with pytest.raises(InputError, match="given 'c'; allowed: a, b"):
        chosen(["a", "b"], ["c"])
