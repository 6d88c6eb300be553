# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Words for the errors of etcd 3.4, and which of them say that certainly nothing was done."""

from __future__ import annotations

CERTAIN = {
    # before the request left
    "refused": "nobody listened",
    "unreachable": "no connection came about",
    # answers that etcd 3.4 gives before it proposes, or when the log did not take the proposal
    "no-leader": "the member refused before it handled the request",
    "dropped": "raft refused the proposal",
    "overloaded": "too far behind in applying; refused before proposing",
    "too-large": "refused before proposing",
    "not-capable": "refused before it handled the request",
    "learner": "refused before it handled the request",
    # every member refuses it alike when it is applied
    "no-space": "the quota is used up",
}
"""Errors after which a write has certainly no effect, and why. All others are indeterminate."""

MESSAGES = {
    "etcdserver: no leader": "no-leader",
    "raft proposal dropped": "dropped",
    "etcdserver: too many requests": "overloaded",
    "etcdserver: request is too large": "too-large",
    "etcdserver: not capable": "not-capable",
    "etcdserver: rpc not supported for learner": "learner",
    "etcdserver: mvcc: database space exceeded": "no-space",
    "etcdserver: leader changed": "leader-changed",
    "etcdserver: server stopped": "stopped",
    "context deadline exceeded": "server-timeout",
    "context canceled": "cancelled",
}


def error_of_message(message: str) -> str:
    """Return a short word for an error message of etcd; a word that is not in CERTAIN when it is unknown."""
    if message.startswith("etcdserver: request timed out"):
        return "server-timeout"
    return MESSAGES.get(message, "server-error")
