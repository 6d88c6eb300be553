# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults that overlap: nobody is blamed for not recovering from one while the next one holds."""

from __future__ import annotations

from ansible_collections.foundation.testbed.plugins.plugin_utils.measures import _joint_end_s
from hypothesis import given
from hypothesis import strategies as st

WINDOWS = st.lists(
    st.builds(lambda at, length: (at, at + length), st.integers(0, 50), st.integers(1, 20)), min_size=1
)


def faults(windows):
    return [{"applied_s": a, "reverted_s": b} for a, b in windows]


@given(WINDOWS)
def test_the_joint_end_is_an_end_at_which_nothing_holds_any_more(windows):
    for _, end_s in windows:
        joint_s = _joint_end_s(faults(windows), end_s)
        assert joint_s >= end_s and joint_s in {b for _, b in windows}
        assert not any(a <= joint_s < b for a, b in windows)


def test_faults_apart_keep_their_own_ends():
    assert _joint_end_s(faults([(0, 5), (10, 20)]), 5) == 5
    assert _joint_end_s(faults([(0, 5), (4, 8), (8, 9), (10, 20)]), 5) == 9
    assert _joint_end_s([{"applied_s": 1, "reverted_s": None}], 5) == 5
