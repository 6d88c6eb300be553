# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Problem documents (RFC 9457): how a service says that it did not do what it was asked."""

from __future__ import annotations

from typing import Any

MEDIA_TYPE = "application/problem+json"

TYPES = {
    "invalid-request": (400, "The request does not keep the contract."),
    "not-found": (404, "There is no such thing."),
    "unknown-path": (404, "There is no such path."),
    "method-not-allowed": (405, "This cannot be done with it."),
    "gone": (410, "It is no longer kept."),
    "too-large": (413, "The request is too large."),
    "unsupported-media-type": (415, "The body is not application/json."),
    "internal": (500, "The service has a defect."),
    "unavailable": (503, "It was certainly not done: the store did not take it."),
    "no-majority": (503, "It was certainly not done: this node does not reach a majority."),
    "indeterminate": (504, "It may have been done, or may yet be."),
}
"""Status and title by type; services add their own types with `Problem(..., status=, title=)`."""


class Problem(Exception):
    """An answer other than success; `more` are further members of the document."""

    def __init__(
        self, kind: str, detail: str, *, status: int | None = None, title: str | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        known_status, known_title = TYPES.get(kind, (500, kind))
        self.status = status or known_status
        self.document = {
            "type": f"urn:foundation:problem:{kind}",
            "title": title or known_title,
            "status": self.status,
            "detail": detail,
            **more,
        }
