# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Questions and orders to members of etcd through its JSON gateway. One call is one request, once."""

from __future__ import annotations

import base64
import http.client
import json
import queue
import threading
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from etcd_keeper.decisions import Listing, Member

ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, http.client.HTTPException)
ORDER_S = 1.5
"""Seconds within which a change of the membership is answered; its outcome is unknown after them.

Not longer, as raft drops a change that comes while another is under way, and etcd never answers that one.
"""


class Refused(Exception):
    """The member did not do what it was asked for, or did not say so; the text is its own."""


@dataclass(frozen=True)
class Status:
    """What a member says of itself."""

    cluster_id: int
    member_id: int
    leader_id: int
    term: int

    @property
    def leads(self) -> bool:
        """Whether it takes itself for the leader."""
        return self.leader_id == self.member_id != 0


def ask(url: str, path: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Send one request; return the answer, or raise Refused."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=timeout_s)
    try:
        connection.request("POST", path, json.dumps(body))
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        if response.status == 200 and "header" in answer:
            return answer
        said = str(answer.get("message") or answer.get("error") or response.status)
    except ERRORS as error:
        said = f"{type(error).__name__} {error}".strip()
    finally:
        connection.close()
    raise Refused(said)


def status(url: str, timeout_s: float) -> Status:
    """Ask a member how it is; raises Refused."""
    answer = ask(url, "/v3/maintenance/status", {}, timeout_s)
    header = answer["header"]
    return Status(
        int(header.get("cluster_id", 0)),
        int(header.get("member_id", 0)),
        int(answer.get("leader", 0)),
        int(header.get("raft_term", 0)),
    )


def listing(url: str, timeout_s: float) -> Listing:
    """Ask a member for all members; raises Refused."""
    return listing_of(ask(url, "/v3/cluster/member/list", {}, timeout_s))


def latest_listing(url: str, timeout_s: float) -> Listing:
    """Ask a member for all members as they are now, which a majority has to confirm; raises Refused.

    A member lists what it has itself, and one that was paused may list the past. It answers a read through
    the quorum only once it has everything that was agreed on before it was asked.
    """
    ask(url, "/v3/kv/range", {"key": base64.b64encode(b"\0").decode(), "count_only": True}, timeout_s)
    return listing(url, timeout_s)


def listing_of(answer: dict[str, Any]) -> Listing:
    """Return the members that an answer has. Pure; raises Refused where it is not one."""
    try:
        return Listing(
            int(answer["header"]["cluster_id"]), tuple(member_of(each) for each in answer["members"])
        )
    except ERRORS as error:
        raise Refused(f"bad answer: {error}") from error


def member_of(said: dict[str, Any]) -> Member:
    """Return a member of a list. Pure."""
    urls = said.get("clientURLs") or [""]
    return Member(int(said["ID"]), said["peerURLs"][0], urls[0], bool(said.get("isLearner", False)))


def remove(url: str, member_id: int) -> None:
    """Have a member removed; raises Refused, also when it may yet happen."""
    ask(url, "/v3/cluster/member/remove", {"ID": str(member_id)}, ORDER_S)


def promote(url: str, member_id: int) -> None:
    """Make a learner a voter; raises Refused."""
    ask(url, "/v3/cluster/member/promote", {"ID": str(member_id)}, ORDER_S)


def add_learner(url: str, peer_url: str) -> tuple[Member, Listing]:
    """Have a learner added; return it, and all members then. Raises Refused, also when it may yet happen."""
    answer = ask(url, "/v3/cluster/member/add", {"peerURLs": [peer_url], "isLearner": True}, ORDER_S)
    try:
        return member_of(answer["member"]), listing_of(answer)
    except ERRORS as error:
        raise Refused(f"bad answer: {error}") from error


def as_answered(urls: Iterable[str], timeout_s: float) -> Iterator[tuple[str, Status]]:
    """Ask members at once how they are; give each answer as it comes. Who does not answer is left out."""
    answers: queue.SimpleQueue[tuple[str, Status | None]] = queue.SimpleQueue()

    def ask_one(url: str) -> None:
        try:
            answers.put((url, status(url, timeout_s)))
        except (Refused, *ERRORS):
            answers.put((url, None))

    # Daemons, as nobody waits for those that are not needed any more.
    asked = [threading.Thread(target=ask_one, args=(url,), daemon=True) for url in urls]
    for thread in asked:
        thread.start()
    for _ in asked:
        url, said = answers.get()
        if said is not None:
            yield url, said
