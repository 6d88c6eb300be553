# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a clock is put off and when, what a user may say of it, and which clock is nobody's own."""

from __future__ import annotations

import random
import re
import time

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    parse_offset,
    parse_speed,
    read_parameters,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults import clock
from hypothesis import given
from hypothesis import strategies as st

SECOND = 10**9
CLUSTER = ClusterView("t", {"n1": "10.0.0.1"}, {}, {}, {})


def wrong(**said):
    params, problems = read_parameters(clock.FAULT.parameters, said)
    return problems or list(clock.FAULT.problems(params))


def plan(**said):
    params, problems = read_parameters(clock.FAULT.parameters, said)
    assert not problems
    return clock.FAULT.plan(params, Targets(["n1"], CLUSTER, random.Random(0)))["n1"]


def record(since_s=100, **program):
    return {**program, "since_boot_ns": since_s * SECOND}


STEP = record(action="step", offset_s=-30.0)
SKEW = record(action="skew", rate=1.05)
STROBE = record(action="strobe", offset_s=2.0, interval_s=0.5)


def at(one, seconds):
    return clock.own_offset_ns(one, round((100 + seconds) * SECOND)) / SECOND


def test_offsets():
    assert [at(STEP, second) for second in (0, 1, 3600)] == [-30, -30, -30]
    assert [at(SKEW, second) for second in (0, 1, 60)] == [0, 0.05, 3.0]
    assert [at(STROBE, second) for second in (0, 0.4, 0.5, 0.9, 1.0, 1.6)] == [2, 2, 0, 0, 2, 0]


@given(st.lists(st.sampled_from([STEP, SKEW, STROBE]), max_size=4), st.integers(100 * SECOND, 10**13))
def test_offsets_add_up_and_each_goes_alone(records, boot_ns):
    whole = clock.offset_ns(records, boot_ns)
    for number, one in enumerate(records):
        rest = records[:number] + records[number + 1 :]
        assert clock.offset_ns(rest, boot_ns) == whole - clock.own_offset_ns(one, boot_ns)


@given(st.integers(0, 10**18), st.integers(0, 10**15), st.integers(0, 10**15))
def test_right_is_the_wall_clock_at_the_begin_and_what_has_passed(wall_ns, boot_ns, passed_ns):
    base = {"wall_ns": wall_ns, "boot_ns": boot_ns}
    assert clock.right_wall_ns(base, boot_ns + passed_ns) == wall_ns + passed_ns


@given(st.floats(0, 1000))
def test_the_next_jump_is_where_the_offset_changes(seconds):
    boot_ns = round((100 + seconds) * SECOND)
    wait_ns = round(clock.next_change_s(STROBE, boot_ns) * 1e9)
    assert 0 < wait_ns <= SECOND // 2
    before = clock.own_offset_ns(STROBE, boot_ns)
    assert clock.own_offset_ns(STROBE, boot_ns + wait_ns - 1000) in (before, 2 * SECOND - before)
    assert clock.own_offset_ns(STROBE, boot_ns + wait_ns + 1000) != before
    assert clock.next_change_s(STEP, boot_ns) is None


@pytest.mark.parametrize(
    ("one", "seconds", "measured_s", "found"),
    [
        (STEP, 5, -30, True),
        (STEP, 5, 0, False),
        (STEP, 5, -30.01, False),
        (SKEW, 10, 0.5, True),
        (SKEW, 10, 0.498, True),  # its next small step is due
        (SKEW, 10, 0.48, False),
        (SKEW, 10, 0, False),
        (STROBE, 0.3, 2, True),
        (STROBE, 0.3, 0, False),
        (STROBE, 0.52, 2, True),  # the jump is late
        (STROBE, 0.9, 2, False),
        (STROBE, 0.9, 0, True),
        (STROBE, 0.52, 1, False),
    ],
)
def test_what_counts_as_told(one, seconds, measured_s, found):
    assert clock.matches([one], round((100 + seconds) * SECOND), round(measured_s * SECOND)) is found


def test_faults_that_overlap_are_measured_together():
    now = round(110.02 * SECOND)
    told = clock.offset_ns([STEP, SKEW, STROBE], now)
    assert clock.matches([STEP, SKEW, STROBE], now, told)
    assert clock.matches([STEP, SKEW, STROBE], now, told - 2 * SECOND)  # the strobe's jump is late
    assert not clock.matches([STEP, SKEW, STROBE], now, told - SECOND)
    assert not clock.matches([STEP, SKEW, STROBE], now, told + 30 * SECOND)


def test_both_clocks_are_read_together():
    (boot, wall), (later_boot, later_wall) = clock.both_clocks(), clock.both_clocks()
    assert abs((later_boot - boot) - (later_wall - wall)) < SECOND
    assert abs(wall - time.time_ns()) < 60 * SECOND


@pytest.mark.parametrize(
    ("text", "seconds"), [("-30s", -30), ("+250ms", 0.25), ("2min", 120), (" -1h ", -3600), ("- 5 s", -5)]
)
def test_offset_texts(text, seconds):
    assert parse_offset(text) == seconds


@pytest.mark.parametrize("text", ["0s", "-0ms", "30", -30, "--3s", "+", "", None, "-400h 1s", "-9000h"])
def test_wrong_offset_texts(text):
    with pytest.raises(ValueError, match=re.escape("allowed: a number with a unit, such as -30s or +250ms")):
        parse_offset(text)


@given(st.floats(-1000, 1000, allow_nan=False).filter(lambda value: abs(value) >= 0.001))
def test_every_offset_is_read_as_written(seconds):
    assert parse_offset(f"{seconds:+.3f}s") == pytest.approx(round(seconds, 3)) if round(seconds, 3) else True


@pytest.mark.parametrize(
    ("value", "speed"), [(1.05, 1.05), ("0.95", 0.95), ("500ppm", 1.0005), ("-200 ppm", 0.9998), (2, 2)]
)
def test_speeds(value, speed):
    assert parse_speed(value) == pytest.approx(speed)


@pytest.mark.parametrize("value", [1, "1.0", "0ppm", 0, 2.1, -1, "fast", "ppm", None, True, "nan"])
def test_wrong_speeds(value):
    with pytest.raises(ValueError, match=re.escape("allowed: a factor from 0.5 to 2")):
        parse_speed(value)


def test_plans():
    assert plan(action="step", offset="-30s") == {"action": "step", "offset_s": -30.0}
    assert plan(action="skew", rate="500ppm") == {"action": "skew", "rate": pytest.approx(1.0005)}
    assert plan(action="strobe", offset="2s") == {"action": "strobe", "offset_s": 2.0, "interval_s": 1.0}


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"action": "jump"}, "action: given 'jump'; allowed: skew, step, strobe"),
        ({"action": "step"}, "offset: is required but missing for step"),
        ({"action": "skew", "offset": "1s"}, "rate: is required but missing for skew"),
        ({"action": "skew", "rate": 2, "offset": "1s"}, "offset: given for skew; allowed: rate"),
        ({"action": "step", "offset": "1s", "interval": "1s"}, "interval: given for step; allowed: offset"),
        (
            {"action": "strobe", "offset": "1s", "interval": "50ms"},
            "interval: given 0.05s; allowed: at least",
        ),
    ],
)
def test_mistakes(said, problem):
    assert [line for line in wrong(**said) if line.startswith(problem)], wrong(**said)


@pytest.mark.parametrize(
    ("status", "may"),
    [
        ("Name:\tx\nCapEff:\t000001ffffffffff\n", True),
        ("Name:\tx\nCapEff:\t00000000fcecbfff\n", False),
        ("Name:\tx\n", False),
    ],
)
def test_who_may_set_the_clock(status, may):
    assert clock.may_set_clock(status) is may


def test_what_is_active_is_nothing_here():
    assert clock.FAULT.leftovers() == []
