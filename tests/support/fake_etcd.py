# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An etcd of one process, as far as the services use its gateway: transactions, leases, ranges, watches.

It keeps what etcd promises about one request (all of a transaction at once, comparisons before it, one
revision) and nothing about a cluster. `fail` says which of the next requests meet an error instead.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

from testbed_service.etcd import LeaseNotFound, Refused


def _text(data: str) -> str:
    return base64.b64decode(data).decode()


def mentioned(path: str, body: Any) -> str:
    """Return the path of a request and all keys in it, a line each."""
    lines, left = [path], [body]
    while left:
        match left.pop():
            case dict() as each:
                lines += [_text(each["key"])] if "key" in each else []
                left += each.values()
            case list() as some:
                left += some
    return "\n".join(lines)


class FakeEtcd:
    """Stands in for `testbed_service.etcd.Gateway`."""

    def __init__(self) -> None:
        self.revision, self.kvs, self.leases = 1, {}, {}  # type: int, dict[str, dict[str, Any]], dict[str, int]
        self.past: dict[int, dict[str, dict[str, Any]]] = {1: {}}
        self.log: list[list[dict[str, Any]]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.failing: list[tuple[str, Exception]] = []
        self.delay_s = 0.0
        self.compacted, self._granted = 0, 0
        self._news, self._cut = asyncio.Event(), False

    async def ask(self, path: str, body: dict[str, Any], timeout_s: float, writes: bool) -> dict[str, Any]:
        self.asked.append((path, body))
        await asyncio.sleep(self.delay_s)
        if self.failing and self.failing[0][0] in mentioned(path, body):
            raise self.failing.pop(0)[1]
        return getattr(self, f"_{path.rsplit('/', 1)[-1]}")(body)

    def fail(self, error: Exception, what: str = "") -> None:
        """Let the next request that mentions `what` in its path or its keys end in an error, nothing done."""
        self.failing.append((what, error))

    def _header(self, **more: Any) -> dict[str, Any]:
        return {"header": {"revision": str(self.revision)}, **more}

    def _range(self, body: dict[str, Any]) -> dict[str, Any]:
        first, end = _text(body["key"]), _text(body.get("range_end", ""))
        wanted = int(body.get("revision", self.revision))
        if wanted < self.compacted:
            raise Refused("server-error")
        found = [
            kv
            for key, kv in sorted(self.past[wanted].items())
            if key == first or (end and first <= key < end)
        ]
        if body.get("sort_target") == "MOD":
            found.sort(key=lambda kv: int(kv["mod_revision"]), reverse=body.get("sort_order") == "DESCEND")
        found = found[: int(body.get("limit", "0")) or None]
        return self._header(**({"kvs": found, "count": str(len(found))} if found else {}))

    def _txn(self, body: dict[str, Any]) -> dict[str, Any]:
        steps = body["success"]
        chosen = [self._branch(step["requestTxn"]) if "requestTxn" in step else None for step in steps]
        events: list[dict[str, Any]] = []
        responses = []
        for step, branch in zip(steps, chosen, strict=True):
            if branch is None:
                responses.append(self._step(step, events))
                continue
            inner = [self._step(each, events) for each in step["requestTxn"].get(branch, [])]
            said = {"responses": inner, **({"succeeded": True} if branch == "success" else {})}
            responses.append({"response_txn": said})
        self._commit(events)
        return self._header(succeeded=True, responses=responses)

    def _branch(self, txn: dict[str, Any]) -> str:
        return "success" if all(map(self._holds, txn["compare"])) else "failure"

    def _holds(self, compare: dict[str, Any]) -> bool:
        field = {"CREATE": "create_revision", "MOD": "mod_revision"}[compare["target"]]
        held = int(self.kvs.get(_text(compare["key"]), {}).get(field, "0"))
        return {"EQUAL": int.__eq__, "GREATER": int.__gt__}[compare["result"]](held, int(compare[field]))

    def _step(self, step: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
        ((kind, said),) = step.items()
        key, number = _text(said["key"]), str(self.revision + 1)
        before = self.kvs.get(key)
        if kind == "requestRange":
            end = _text(said.get("range_end", ""))
            found = [
                kv for name, kv in sorted(self.kvs.items()) if name == key or (end and key <= name < end)
            ]
            return {"response_range": {"kvs": found} if found else {}}
        touched = [_text(event["kv"]["key"]) for event in events]
        assert key not in touched, f"duplicate key given in txn request: {key}"
        prev = {"prev_kv": before} if before else {}
        if kind == "requestDeleteRange":
            if not before:
                return {"response_delete_range": {}}
            del self.kvs[key]
            events.append({"type": "DELETE", "kv": {"key": said["key"], "mod_revision": number}, **prev})
            return {"response_delete_range": {"deleted": "1", "prev_kvs": [before]}}
        if "lease" in said and said["lease"] not in self.leases:
            raise LeaseNotFound("lease-not-found")
        lease = {"lease": said["lease"]} if "lease" in said else {}
        created = before["create_revision"] if before else number
        version = int(before["version"]) + 1 if before else 1
        revisions = {"create_revision": created, "mod_revision": number, "version": str(version)}
        self.kvs[key] = {"key": said["key"], "value": said["value"], **revisions, **lease}
        events.append({"kv": self.kvs[key], **prev})
        return {"response_put": {}}

    def _commit(self, events: list[dict[str, Any]]) -> None:
        if events:
            self.revision += 1
            self.past[self.revision] = dict(self.kvs)
            self.log.append(events)
            news, self._news = self._news, asyncio.Event()
            news.set()

    def _grant(self, body: dict[str, Any]) -> dict[str, Any]:
        self._granted += 1
        lease = str(999 + self._granted)
        self.leases[lease] = int(body["TTL"])
        return self._header(ID=lease, TTL=body["TTL"])

    def _keepalive(self, body: dict[str, Any]) -> dict[str, Any]:
        ttl = self.leases.get(body["ID"])
        return {"result": self._header(ID=body["ID"], **({"TTL": str(ttl)} if ttl else {}))}

    def _revoke(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["ID"] not in self.leases:
            raise LeaseNotFound("lease-not-found")
        del self.leases[body["ID"]]
        events: list[dict[str, Any]] = []
        for key in [key for key, kv in self.kvs.items() if kv.get("lease") == body["ID"]]:
            self._step({"requestDeleteRange": {"key": base64.b64encode(key.encode()).decode()}}, events)
        self._commit(events)
        return self._header()

    async def stream(self, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        start = int(body["create_request"]["start_revision"])
        yield {"result": self._header(created=True)}
        if start <= self.compacted:
            yield {"result": self._header(canceled=True, compact_revision=str(self.compacted + 1))}
            return
        sent = start - 2
        while True:
            news = self._news
            while sent < len(self.log):
                events, sent = self.log[sent], sent + 1
                yield {"result": self._header(events=events)}
            await news.wait()
            if self._cut:
                self._cut = False
                raise OSError("cut")

    def again(self) -> FakeEtcd:
        """Serve in another event loop."""
        self._news = asyncio.Event()
        return self

    def cut(self) -> None:
        """Let a stream that is open break."""
        self._cut = True
        self._news.set()
