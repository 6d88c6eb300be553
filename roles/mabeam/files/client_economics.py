# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Economics over HTTP: the requests of the workload `auctions`, and what a history keeps of the answers.

Names of a load are those of its keys, with what tells runs apart before them.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.foundation.testbed.roles.service.files.client import Request, name_of

BASE = "/v1/economics"
OPERATIONS = frozenset(
    {
        "open",
        "create",
        "bid",
        "close",
        "settle",
        "pay",
        "auction",
        "accounts",
        "payment",
        "settlement",
        "market",
    }
)
READS = frozenset({"auction", "accounts", "payment", "settlement", "market"})
NEGATIVE = {
    "already-exists": "already_exists",
    "auction-closed": "closed",
    "auction-open": "not_closed",
    "bid-too-low": "too_low",
    "insufficient-funds": "insufficient_funds",
    "no-winner": "no_winner",
    "not-found": "not_found",
}
"""Problems that answer the question, and the words of a history for them."""
TITLES = ("Server Resources", "Data Processing", "ML Training", "Storage")


def within(key: str) -> str:
    """Return what the names of a run begin with, for one of its keys."""
    return name_of(key[: key.rfind("/") + 1])


def request_of(f: str, key: str, value: Any) -> Request:
    """Return the request of an operation."""
    name, run = name_of(key), within(key)
    if f == "open":
        return Request("PUT", f"{BASE}/accounts/{name}", {"deposit": value})
    if f == "create":
        title = TITLES[sum(key.encode()) % len(TITLES)]
        asked = {"id": name, "title": title, "seller": name}
        return Request(
            "POST", f"{BASE}/auctions", {**asked, "starting_price": value[0], "reserve_price": value[1]}
        )
    if f == "bid":
        return Request("POST", f"{BASE}/auctions/{name}/bids", {"bidder": run + value[0], "amount": value[1]})
    if f == "pay":
        payment, payer, payee, amount = value[:4]
        asked = {"payment": run + payment, "from": run + payer, "to": run + payee, "amount": amount}
        return Request("POST", f"{BASE}/payments", asked)
    if f == "accounts":
        return Request("GET", f"{BASE}/accounts", query={"prefix": f"{run}r"})
    return _of_one(f, name)


def _of_one(f: str, name: str) -> Request:
    if f == "close":
        return Request("POST", f"{BASE}/auctions/{name}/close")
    if f == "settle":
        return Request("POST", f"{BASE}/auctions/{name}/settlement")
    paths = {
        "auction": f"auctions/{name}",
        "payment": f"payments/{name}",
        "settlement": f"payments/auction:{name}",
        "market": f"market/{name}",
    }
    return Request("GET", f"{BASE}/{paths[f]}")


def done_value(f: str, key: str, value: Any, body: Any) -> Any:
    """Return what a history keeps of a success."""
    run = within(key)
    if f == "close":
        return _winner(body["winner"], run)
    if f == "auction":
        highest = body["highest"]
        return {
            "status": body["status"],
            "bids": body["bids"],
            "highest": _winner(highest, run),
            "winner": _winner(body["winner"], run),
        }
    if f in ("settle", "pay", "payment", "settlement"):
        own = {"payment": body["payment"], "from": body["from"], "to": body["to"]}
        short = {name: str(said).removeprefix("auction:").removeprefix(run) for name, said in own.items()}
        asked = value[0] if f == "pay" else short["payment"]
        return [asked, short["from"], short["to"], body["amount"], body["revision"]]
    if f == "accounts":
        if not body["complete"]:
            raise ValueError("there are more accounts than one answer holds")
        told = {
            each["account"].removeprefix(run): [each["balance"], each["deposit"]] for each in body["accounts"]
        }
        return {"revision": body["revision"], "accounts": told}
    return body["price"] if f == "market" else value


def _winner(bid: Any, run: str) -> Any:
    return bid and [bid["bidder"].removeprefix(run), bid["amount"]]


def refused_value(f: str, problem: str, body: Any) -> Any:
    """Return what a history keeps of an answer in the negative."""
    if f in ("payment", "settlement"):
        return {"absent_at": body["revision"]}
    if f in READS:
        return None
    return body["minimum"] if problem == "bid-too-low" else NEGATIVE[problem]
