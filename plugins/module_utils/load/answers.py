# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Answers that say something although the operation changed nothing, as `error` of a `fail`."""

from __future__ import annotations

NEGATIVE = frozenset(
    {"mismatch", "already_registered", "not_found", "already_exists", "already_voted", "closed"}
    | {"too_low", "not_closed", "no_winner", "insufficient_funds"}
)
"""What a system that works may answer: the comparison failed, the name is taken, there is no such thing,
there is one already, the member has voted, the vote or the auction has ended; the bid is too low, the auction
is open, nobody won it, the account does not hold so much."""


def says_something(kind: str, error: object) -> bool:
    """Whether a completion is an answer of the system: it was done, or it was certainly not, for a reason."""
    return kind == "ok" or (kind == "fail" and error in NEGATIVE)
