# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which topics a pattern chooses: against the definition, word by word."""

from __future__ import annotations

import time

import pytest
from foundation_service.topics import is_own, matches
from hypothesis import given
from hypothesis import strategies as st

WORDS = st.sampled_from(["a", "b", "ab"])
TOPICS = st.lists(WORDS, min_size=1, max_size=6).map(".".join)
PATTERNS = st.lists(WORDS | st.sampled_from(["*", "#"]), min_size=1, max_size=6).map(".".join)


def defined(pattern, topic):
    """The definition: the first part of the pattern takes as many words as it may."""
    if not pattern:
        return not topic
    if pattern[0] == "#":
        return any(defined(pattern[1:], topic[taken:]) for taken in range(len(topic) + 1))
    return bool(topic) and pattern[0] in ("*", topic[0]) and defined(pattern[1:], topic[1:])


@given(PATTERNS, TOPICS)
def test_a_pattern_chooses_what_its_definition_says(pattern, topic):
    assert matches(pattern, topic) == defined(pattern.split("."), topic.split("."))


@given(TOPICS)
def test_a_topic_chooses_itself_and_everything_is_chosen_by_a_hash(topic):
    assert matches(topic, topic) and matches("#", topic) and matches(f"#.{topic}.#", topic)
    assert not matches(topic, topic + ".more") and not matches(topic + ".*", topic)


@pytest.mark.parametrize(
    ("pattern", "topic", "chosen"),
    [
        ("auction.*.closed", "auction.7.closed", True),
        ("auction.*.closed", "auction.closed", False),
        ("auction.#", "auction", True),
        ("auction.#", "auction.7.closed", True),
        ("#.closed", "closed", True),
        ("#.closed", "auction.7.closed.late", False),
        ("*", "auction.7", False),
    ],
)
def test_examples(pattern, topic, chosen):
    assert matches(pattern, topic) == chosen


def test_no_pattern_takes_long():
    began = time.monotonic()
    assert not matches(".".join(["#", "a"] * 50), ".".join(["a"] * 99 + ["b"]))
    assert time.monotonic() - began < 1


def test_the_services_own_topics_are_known_by_their_first_word():
    assert is_own("registry.registered") and is_own("telemetry.workflow.7") and not is_own("registry-a.b")
