# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Economics says that it did not do what it was asked."""

from __future__ import annotations

from typing import Any

from testbed_service.problems import Problem

TITLES = {
    "already-exists": "There is one of that name.",
    "auction-closed": "A closed auction takes no bid.",
    "auction-open": "An open auction has no winner yet.",
    "bid-too-low": "A bid must be higher than the ones before it.",
    "insufficient-funds": "The account does not hold so much.",
    "key-reused": "Another payment was made under this key.",
    "no-winner": "No bid met the reserve.",
    "own-auction": "A seller does not bid.",
    "same-account": "A payment has two accounts.",
}
"""Titles of what is answered with 409, by type."""


def refusal(kind: str, detail: str, **more: Any) -> Problem:
    """Return the problem of a request that what is there does not allow."""
    if kind == "not-found":
        return not_found("account", str(more["account"]))
    return Problem(kind, detail, status=409, title=TITLES[kind], **more)


def not_found(what: str, name: str, **more: Any) -> Problem:
    """Return the problem of a thing that there is not."""
    return Problem("not-found", f"there is no {what} {name}", **more)
