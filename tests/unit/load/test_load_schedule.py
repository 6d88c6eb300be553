# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from collections import Counter

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.load import schedule
from hypothesis import given, settings
from hypothesis import strategies as st
from load_support import make_program

programs = st.builds(
    make_program,
    seed=st.integers(0, 2**32),
    generator=st.sampled_from(["observer1-0", "observer1-1", "observer2-0"]),
    rate_per_s=st.floats(0.5, 2000),
    duration_s=st.floats(0.05, 2.0),
    keys=st.integers(1, 12),
    operations_per_key=st.integers(1, 50),
    pacing=st.sampled_from(["constant", "jitter", "poisson"]),
)


@settings(max_examples=60, deadline=None)
@given(programs)
def test_same_program_same_schedule(program):
    assert list(schedule.operations(program)) == list(schedule.operations(dict(program)))


@settings(max_examples=60, deadline=None)
@given(programs)
def test_times_are_ordered_and_within_the_run(program):
    ops = list(schedule.operations(program))
    times = [op.intended_ns for op in ops]
    assert times == sorted(times)
    assert all(0 <= t < program["duration_s"] * 1e9 for t in times)
    assert [op.number for op in ops] == list(range(len(ops)))
    assert schedule.count(program) == len(ops)


@settings(max_examples=60, deadline=None)
@given(programs)
def test_keys_rotate(program):
    for op in schedule.operations(program):
        generation, slot = op.key[1:].split("-")
        assert int(generation) == op.number // (program["keys"] * program["operations_per_key"])
        assert 0 <= int(slot) < program["keys"]


@settings(max_examples=40, deadline=None)
@given(programs.filter(lambda p: p["pacing"] != "poisson"))
def test_rate_is_kept(program):
    assert abs(schedule.count(program) - program["rate_per_s"] * program["duration_s"]) <= 1


def test_constant_pacing_has_equal_gaps_and_a_seeded_phase():
    first = [list(schedule.intended_times(make_program(seed=s))) for s in (1, 2)]
    gaps = {b - a for a, b in zip(first[0], first[0][1:], strict=False)}
    assert all(abs(gap - 10_000_000) <= 1 for gap in gaps)
    assert first[0][0] != first[1][0]


def test_another_seed_another_schedule():
    assert list(schedule.operations(make_program(seed=1))) != list(schedule.operations(make_program(seed=2)))


def test_groups_and_functions_follow_their_weights():
    ops = list(schedule.operations(make_program(rate_per_s=4000.0, duration_s=2.0)))
    clients, fs = Counter(op.client for op in ops), Counter(op.f for op in ops)
    assert 0.70 < clients["failover"] / len(ops) < 0.80
    assert 0.45 < fs["read"] / len(ops) < 0.55
    assert 0.25 < fs["write"] / len(ops) < 0.35


def test_a_weight_of_zero_is_never_drawn():
    ops = schedule.operations(make_program(mix={"read": 1.0, "write": 0.0}))
    assert {op.f for op in ops} == {"read"}


def test_rate_zero_is_empty():
    assert list(schedule.operations(make_program(rate_per_s=0, clients=[]))) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"mix": {}}, "mix"), ({"clients": []}, "clients"), ({"pacing": "often"}, "pacing 'often'")],
)
def test_errors_name_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        list(schedule.operations(make_program(**changes)))
