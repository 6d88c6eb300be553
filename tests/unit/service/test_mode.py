# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed_service.mode import MODES, NORMAL, Limits, admits, mode_of

LIMITS = Limits(3.0, 8.0)
SECONDS = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("age_s", "mode"),
    [
        (0, "normal"),
        (2.9, "normal"),
        (3, "partition_detected"),
        (7.9, "partition_detected"),
        (8, "safe_mode"),
    ],
)
def test_the_mode_follows_from_the_age_of_the_proof(age_s, mode):
    assert mode_of(100.0 + age_s, 100.0, LIMITS) == mode


def test_without_any_proof_a_node_is_safe():
    assert mode_of(0.0, None, LIMITS) == "safe_mode"


@given(SECONDS, SECONDS, SECONDS)
def test_a_later_look_is_never_a_better_mode_and_a_new_proof_never_a_worse(now_s, later_s, proof_s):
    before = mode_of(now_s, proof_s, LIMITS)
    assert MODES.index(mode_of(now_s + later_s, proof_s, LIMITS)) >= MODES.index(before)
    assert MODES.index(mode_of(now_s, proof_s + later_s, LIMITS)) <= MODES.index(before)
    assert mode_of(now_s, now_s, LIMITS) == NORMAL


def test_writes_need_a_majority_and_in_safe_mode_reads_too():
    table = {mode: (admits(mode, writes=True), admits(mode, writes=False)) for mode in MODES}
    assert table == {
        "normal": (True, True),
        "partition_detected": (False, True),
        "safe_mode": (False, False),
    }
