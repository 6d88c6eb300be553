# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Topics, and the patterns that choose among them; pure.

A topic is words with dots between. In a pattern, `*` stands for one word and `#` for any number of them, none
included, as in AMQP. `events.yml` says which characters a word may have.
"""

from __future__ import annotations

ONE, ANY = "*", "#"
OWN = frozenset({"registry", "telemetry"})
"""First words of the topics that only the services themselves publish under."""


def matches(pattern: str, topic: str) -> bool:
    """Whether a pattern chooses a topic; the time is at most the product of their lengths."""
    wanted, words = pattern.split("."), topic.split(".")
    place = at = 0
    last_any, taken_to = -1, 0
    while at < len(words):
        part = wanted[place] if place < len(wanted) else None
        if part == ANY:
            last_any, taken_to = place, at
            place += 1
        elif part is not None and part in (ONE, words[at]):
            place, at = place + 1, at + 1
        elif last_any >= 0:  # let the latest # take one word more
            taken_to += 1
            place, at = last_any + 1, taken_to
        else:
            return False
    return all(part == ANY for part in wanted[place:])


def is_own(topic: str) -> bool:
    """Whether only the services themselves publish under a topic."""
    return topic.split(".", 1)[0] in OWN
