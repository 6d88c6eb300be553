# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Quantities, YAML files and the words of errors."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    not_allowed,
    parse_duration,
    parse_size,
    shown,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.source_file import read_source
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from hypothesis import given
from hypothesis import strategies as st

ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text())
)
QUANTITY = st.from_regex(r"\s*[0-9]{1,320}(\.[0-9]{1,20})?\s*(ms|s|min|h|K|M|G|)\s*", fullmatch=True)


@given(st.integers(1, 8760 * 3600), st.sampled_from([("ms", 0.001), ("s", 1), ("min", 60), ("h", 3600)]))
def test_a_duration_is_its_number_times_its_unit(number, unit):
    name, seconds = unit
    if number * seconds <= 8760 * 3600:
        for text in (f"{number}{name}", f" {number} {name} ", f"{number}.0{name}"):
            assert parse_duration(text) == pytest.approx(number * seconds)


@given(st.integers(1, 2**30), st.sampled_from([("K", 2**10), ("M", 2**20), ("G", 2**30)]))
def test_a_size_is_its_number_times_its_unit(number, unit):
    name, size = unit
    assert parse_size(f"{number}{name}") == number * size
    assert isinstance(parse_size(f"{number}{name}"), int)


@given(ANYTHING | QUANTITY)
def test_any_value_is_a_quantity_or_an_error_that_shows_what_is_allowed(value):
    for parse in (parse_duration, parse_size):
        try:
            assert 0 <= parse(value) < float("inf")
        except ValueError as error:
            assert str(error).startswith("given ")
            assert "; allowed: a positive number with a unit" in str(error)


@pytest.mark.parametrize(
    "text",
    ["0s", "-1s", "15", "s", "1e3s", "15 S", "15 sec", "1,5s", "٣s", "inf s", "", "1s\n2s", 15, None, True],
)
def test_no_duration(text):
    with pytest.raises(ValueError, match="such as 15s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9" * 400 + "s", "8761h"])
def test_a_duration_that_no_run_has_is_refused(text):
    """An infinite number of seconds overflowed in whatever counted with it."""
    with pytest.raises(ValueError, match="at most a year"):
        parse_duration(text)


@given(ANYTHING | st.just([10**5000]) | st.just("x" * 10**6))
def test_what_is_shown_is_short_and_on_one_line(value):
    assert len(shown(value)) <= 80
    assert len(shown(value).splitlines()) == 1


def test_the_nearest_word_is_offered():
    assert (
        not_allowed("ringg", ["star", "ring"]) == "given 'ringg'; allowed: ring, star (did you mean 'ring'?)"
    )
    assert not_allowed("zzz", ["star"]) == "given 'zzz'; allowed: star"
    assert not_allowed("zzz", []) == "given 'zzz'; allowed: nothing"


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_yaml_or_an_error_that_names_the_file(tmp_path, data):
    path = tmp_path / "any.yml"
    path.write_bytes(data)
    try:
        read_source(path)
    except InputError as error:
        assert error.problems
        assert all(line.startswith(str(path)) for line in error.problems)


@pytest.mark.parametrize(
    "text",
    ["a: 2020-02-31", "a: !!int x", "a: !!timestamp x", "a: !!bool x", "a: 0x_", "1" * 5000],
)
def test_a_value_that_cannot_be_read_is_an_error_of_the_file(tmp_path, text):
    """The YAML library raises ValueError, AttributeError and KeyError for these."""
    path = tmp_path / "odd.yml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"odd\.yml"):
        read_source(path)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_what_is_nested_too_deep_is_an_error_of_its_line(tmp_path, opening, closing):
    path = tmp_path / "deep.yml"
    path.write_text("\n" + opening * 99 + "0" + closing * 99)
    read_source(path)
    for levels in (100, 5000):
        path.write_text("\n" + opening * levels + "0" + closing * levels)
        with pytest.raises(InputError, match=r"deep\.yml:2: is not valid YAML: nested deeper than 100"):
            read_source(path)


def test_a_broken_file_names_its_line(tmp_path):
    path = tmp_path / "odd.yml"
    path.write_text("a: 1\nb: [\nc: 2\n")
    with pytest.raises(InputError, match=r"odd\.yml:\d: is not valid YAML"):
        read_source(path)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\nb: 2\na: 3\n", ["3: a: given again, first in line 1; allowed: every key once"]),
        ("a:\n  - {b: 1}\n  - c: 1\n    'c': 1\n", ["4: c: given again, first in line 3"]),
        ("{a: 1, a: 1, a: 1}", ["1: a: given again, first in line 1", "1: a: given again, first in line 1"]),
        ("a: {b: 1, b: 2}\na: 1\n", ["1: b: given again", "2: a: given again, first in line 1"]),
        ('"two\\nlines": 1\n"two\\nlines": 2\n', [r"2: 'two\nlines': given again"]),
        ("1: a\n1: b\n", ["2: 1: given again"]),
        ("? \n? \n", ["2: '': given again"]),
        ("<<: {a: 1}\n<<: {a: 2}\n", ["2: <<: given again"]),
    ],
)
def test_a_key_that_is_given_twice_is_named_with_its_line(tmp_path, text, problems):
    """The library takes the last one and says nothing."""
    path = tmp_path / "odd.yml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_source(path)
    assert len(caught.value.problems) == len(problems)
    for line, words in zip(caught.value.problems, problems, strict=True):
        assert line.startswith(f"{path}:{words}")
        assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: {b: 1}\nc: {b: 1}\n", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &a {b: 1}\nc: {<<: *a, b: 2}\n", {"a": {"b": 1}, "c": {"b": 2}}),
        ("1: a\n'1': b\n", {1: "a", "1": "b"}),
        ("a: &a {b: 1, <<: {b: 2}}\nc: {<<: *a}\nd: *a\n", {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1}}),
    ],
)
def test_keys_that_are_not_the_same_are_taken(tmp_path, text, value):
    path = tmp_path / "fine.yml"
    path.write_text(text)
    assert read_source(path)[0] == value


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yml: cannot be read: No such file"):
        read_source(tmp_path / "none.yml")
