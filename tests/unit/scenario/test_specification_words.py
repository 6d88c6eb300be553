# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Conditions in the words of the specification."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    parse_duration,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils import conditions, specification
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from condition_support import faults
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("kinds")


S33 = (
    {"node_failure": {"type": "random", "interval": 10000, "count": 2}},
    {"network_latency": {"min": 100, "max": 1000, "affected_percentage": 30}},
)


def test_the_specifications_own_scenario_is_understood():
    """S3.3 to the letter: numbers are milliseconds, each condition is stopped at the end."""
    *down, latency = faults(*S33)
    assert [(fault["start_s"], fault["end_s"]) for fault in down] == [(10, 48), (20, 48)]
    assert (latency["start_s"], latency["end_s"], len(latency["targets"])) == (0, 48, 3)
    assert latency["params"]["delay"] == pytest.approx(0.55)
    assert latency["params"]["jitter"] == pytest.approx(0.45)
    (loss,) = faults({"message_loss": {"percentage": 20, "at": "5s", "for": "5s"}})
    assert (loss["params"], loss["start_s"], loss["end_s"]) == ({"loss": 20.0}, 5, 10)


SHARED_WORDS = {"id": "own", "at": 0, "for": 5000}


@pytest.mark.parametrize("none", [0, 0.0, "0s", "0ms", "0 s"])
def test_the_specification_may_begin_at_once_and_delay_by_nothing_at_least(none):
    (fault,) = faults({"network_latency": {"min": none, "max": 100, "at": none}})
    assert (fault["start_s"], fault["params"]["delay"], fault["params"]["jitter"]) == (0, 0.05, 0.05)


@pytest.mark.parametrize(
    ("word", "more"),
    [
        ("node_failure", {"interval": 1000, "count": 1, "max_down": 1}),
        ("network_latency", {"min": 1, "max": 2, "affected_percentage": 50}),
        ("resource_exhaustion", {"type": "cpu", "target_percentage": 40, "affected_percentage": 50}),
        ("message_loss", {"percentage": 5, "affected_percentage": 50}),
    ],
)
def test_every_word_of_the_specification_takes_what_its_condition_takes(monkeypatch, word, more):
    monkeypatch.setattr(conditions, "fault_kinds", lambda: ["link", "power", "pressure"])
    (fault,) = faults({word: {**SHARED_WORDS, **more}})
    assert fault["id"] == ("own-1" if word == "node_failure" else "own")
    assert (fault["start_s"], fault["end_s"]) == (0, 5)
    assert len(fault["targets"]) == (5 if "affected_percentage" in more else 1)


@pytest.mark.parametrize(
    ("duration_s", "begins_s"), [(60, 48), (50, 40), (30, 20), (100, 80), (600, 480), (12, 6), (1, 0.5)]
)
def test_the_system_is_left_to_recover(duration_s, begins_s):
    assert specification.settling_begins_s(duration_s) == begins_s


@given(st.integers(1, 40), st.integers(1, 3), st.integers(20, 300))
def test_nodes_that_fail_stay_down_until_the_system_is_left_to_recover(interval_s, count, duration_s):
    entry = {"node_failure": {"interval": interval_s * 1000, "count": count}}
    end_s = specification.settling_begins_s(duration_s)
    try:
        found = faults(entry, duration=f"{duration_s}s")
    except InputError as error:
        assert interval_s * count >= end_s
        assert "when the system is left to recover" in str(error)
    else:
        assert [fault["start_s"] for fault in found] == [interval_s * (i + 1) for i in range(count)]
        assert {fault["end_s"] for fault in found} == {end_s}
        assert all(fault["for_s"] == pytest.approx(end_s - fault["start_s"]) for fault in found)


def test_a_length_that_is_said_is_kept():
    found = faults({"node_failure": {"interval": 20000, "count": 2, "for": "20s"}})
    assert [(fault["start_s"], fault["end_s"]) for fault in found] == [(20, 40), (40, 60)]


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("0s")


WORDS = st.sampled_from(
    ["min", "max", "at", "for", "interval", "count", "type", "percentage", "id", "max_down", "a\nb"]
)


@given(
    st.sampled_from(list(specification.SPECIFICATION)), st.dictionaries(WORDS, ANYTHING, max_size=6),
    st.floats(0.001, 1e6),
)  # fmt: skip
def test_whatever_is_said_in_the_specifications_words_is_a_condition_or_one_line(said, params, duration_s):
    try:
        entry = specification.translated({said: params}, duration_s)
    except ValueError as error:
        assert str(error).startswith(f"{said}.") and len(str(error).splitlines()) == 1
    else:
        assert parse_duration(entry["for"]) > 0
