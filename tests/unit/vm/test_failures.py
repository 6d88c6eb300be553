# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What failed is one line, with the item of a loop that it failed for."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.filter.hosts import failures

LOOP = [
    {"item": "n1"},
    {"item": "n2", "failed": True, "msg": "too many CPUs"},
    {"item": "n3", "failed": True},
]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"msg": "no answer", "failed": True}, "no answer"),
        ({"msg": "One or more items failed", "results": LOOP}, "n2: too many CPUs; n3: it failed"),
        ({"msg": "an item is missing", "results": [{"item": "n1"}]}, "an item is missing"),
        ({}, "it failed"),
    ],
)
def test_words_are_those_of_whatever_failed(result, words):
    assert failures(result) == words
