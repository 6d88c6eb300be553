# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import asyncio
import base64
import http.server
import json
import threading
import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.module_utils.load.clients import load_client
from ansible_collections.foundation.testbed.roles.etcd.files.client_http import NoAnswer

FOLDER = Path(__file__).parents[3] / "roles/etcd"
etcd = load_client(FOLDER / "files/client.py")

NOT_PROPOSED = [
    ("etcdserver: no leader", "no-leader"),
    ("raft proposal dropped", "dropped"),
    ("etcdserver: too many requests", "overloaded"),
    ("etcdserver: request is too large", "too-large"),
    ("etcdserver: not capable", "not-capable"),
    ("etcdserver: rpc not supported for learner", "learner"),
    ("etcdserver: mvcc: database space exceeded", "no-space"),
]
DOUBTFUL = [
    ("etcdserver: request timed out", "server-timeout"),
    ("etcdserver: request timed out, possibly due to previous leader failure", "server-timeout"),
    ("etcdserver: request timed out, possibly due to connection lost", "server-timeout"),
    ("etcdserver: leader changed", "leader-changed"),
    ("etcdserver: server stopped", "stopped"),
    ("context deadline exceeded", "server-timeout"),
    ("context canceled", "cancelled"),
    ("etcdserver: corrupt cluster", "server-error"),
    ("something new", "server-error"),
]


def body(message):
    return json.dumps({"error": message, "message": message, "code": 14})


@pytest.mark.parametrize(("message", "word"), NOT_PROPOSED)
@pytest.mark.parametrize("f", ["read", "write", "cas"])
def test_certain_errors_are_failures(f, message, word):
    assert etcd.answer_of(f, [1, 2], 503, body(message), "n1") == ("fail", [1, 2], word, "n1")


@pytest.mark.parametrize(("message", "word"), DOUBTFUL)
def test_doubtful_errors_are_indeterminate_for_writes_only(message, word):
    assert etcd.answer_of("write", 1, 503, body(message), "n1") == ("info", 1, word, "n1")
    assert etcd.answer_of("cas", [1, 2], 503, body(message), "n1").type == "info"
    assert etcd.answer_of("read", None, 503, body(message), "n1") == ("fail", None, word, "n1")


@pytest.mark.parametrize(
    ("word", "write"),
    [
        ("refused", "fail"),
        ("unreachable", "fail"),
        ("timeout", "info"),
        ("connection-lost", "info"),
        ("bad-answer", "info"),
    ],
)
def test_only_what_never_left_has_certainly_no_effect(word, write):
    assert (etcd.classify("write", word), etcd.classify("cas", word)) == (write, write)
    assert etcd.classify("read", word) == "fail"


HEADER = {"header": {"revision": "7"}}


@pytest.mark.parametrize(
    ("f", "value", "answer", "kind", "result", "error"),
    [
        ("read", None, HEADER, "ok", None, None),
        ("read", None, {**HEADER, "kvs": [{"value": base64.b64encode(b"41").decode()}]}, "ok", 41, None),
        ("read", None, {**HEADER, "kvs": [{"value": "?"}]}, "fail", None, "bad-answer"),
        ("write", 5, HEADER, "ok", 5, None),
        ("write", 5, {}, "info", 5, "server-error"),
        ("write", 5, [], "info", 5, "bad-answer"),
        ("cas", [1, 2], {**HEADER, "succeeded": True}, "ok", [1, 2], None),
        ("cas", [1, 2], HEADER, "fail", [1, 2], "mismatch"),
    ],
)
def test_answers(f, value, answer, kind, result, error):
    assert etcd.answer_of(f, value, 200, json.dumps(answer), "n2") == (kind, result, error, "n2")


def test_half_an_answer_is_indeterminate():
    assert etcd.answer_of("write", 5, 200, '{"header"', "n1").type == "info"


def test_requests():
    assert etcd.request_of("read", "k", None, True)[1]["serializable"] is True
    assert etcd.request_of("read", "k", None, False) == ("/v3/kv/range", {"key": "aw=="})
    assert etcd.request_of("write", "k", 12, False) == ("/v3/kv/put", {"key": "aw==", "value": "MTI="})
    path, txn = etcd.request_of("cas", "k", [12, 13], False)
    assert path == "/v3/kv/txn"
    assert txn["compare"] == [{"key": "aw==", "result": "EQUAL", "target": "VALUE", "value": "MTI="}]
    assert etcd.request_of("cas", "k", [None, 13], False)[1]["compare"][0]["version"] == "0"
    with pytest.raises(ValueError, match="no operation 'append'"):
        etcd.request_of("append", "k", 1, False)


class Member:
    """A member that answers questions as etcd 3.4 does; `revision` None leaves them open."""

    def __init__(self, member_id, revision):
        self.member_id, self.revision, self.health, self.asked = member_id, revision, "true", []
        self.others = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.ending = threading.Event()
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path):
        self.asked.append(path)
        header = {"member_id": self.member_id, "revision": str(self.revision), "raft_term": "3"}
        everyone = [(self.member_id, "http://192.0.2.1:2379"), *self.others]
        return {
            "/version": {"etcdserver": "3.4.23"},
            "/health": {"health": self.health},
            "/v3/maintenance/status": {"header": header, "leader": "9"},
            "/v3/cluster/member/list": {
                "header": header,
                "members": [
                    {"ID": found, **({"clientURLs": [url]} if url else {})} for found, url in everyone
                ],
            },
        }[path]

    def handler(member):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                data = json.dumps(member.answer(self.path)).encode()
                if member.revision is None:
                    member.ending.wait(5)
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        return Handler

    def close(self):
        self.ending.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def cluster(monkeypatch):
    """Make members by revision; the first leads, is asked, and knows the others."""
    made = []

    def make(*revisions):
        for number, revision in enumerate(revisions):
            made.append(Member(str(9 - number), revision))
        made[0].others = [(member.member_id, f"http://{member.address}") for member in made[1:]]
        return made

    monkeypatch.setattr(etcd, "_PEERS", etcd._Peers())
    yield make
    for member in made:
        member.close()


NOTHING = {"healthy": False, "leader": False, "revision": None, "term": None, "lag": None}


def test_questions(cluster):
    first, _ = cluster(7, 7)
    answer = {"healthy": True, "leader": True, "revision": 7, "term": 3, "lag": 0, "error": None}
    assert etcd.status(first.address, 5.0) == answer
    assert etcd.version(first.address, 5.0) == "3.4.23"
    first.health = "false"
    assert etcd.status(first.address, 5.0) == {**answer, "healthy": False, "error": "unhealthy"}
    assert first.asked.count("/v3/cluster/member/list") == 1


@pytest.mark.parametrize(
    ("revisions", "lag"),
    [((7,), None), ((7, 40, 12), 33), ((7, 3), 0), ((7, None), None), ((7, None, 9), 2)],
    ids=["alone", "behind the highest", "ahead", "nobody answers", "one answers"],
)
def test_lag_is_behind_the_highest_that_answers(cluster, revisions, lag):
    first = cluster(*revisions)[0]
    began = time.monotonic()
    assert etcd.status(first.address, 5.0)["lag"] == lag
    assert time.monotonic() - began < 2


def test_others_are_those_with_a_client_address():
    header = {"member_id": "9"}
    members = [
        {"ID": "9", "clientURLs": ["http://192.0.2.9:2379"]},
        {"ID": "8", "clientURLs": ["http://192.0.2.8:2379", "http://127.0.0.1:2379"]},
        {"ID": "7"},  # has never started
    ]
    assert etcd.peers_of({"header": header, "members": members}) == ["192.0.2.8:2379"]


def test_the_states_of_the_description_are_told(cluster):
    (first,) = cluster(7)
    description = yaml.safe_load((FOLDER / "system.yml").read_text(encoding="utf-8"))
    assert set(description["states"]) <= set(etcd.status(first.address, 5.0))


def test_questions_to_nobody(cluster):
    assert etcd.status("127.0.0.1:1") == {**NOTHING, "error": "refused"}
    assert etcd.version("127.0.0.1:1") is None


def test_questions_to_a_member_that_hangs(cluster):
    (first,) = cluster(None)
    began = time.monotonic()
    assert etcd.status(first.address, 0.5) == {**NOTHING, "error": "timeout"}
    assert time.monotonic() - began < 2


def test_failover_moves_on_only_from_the_member_that_did_not_answer():
    client = etcd.Client({"n1": "192.0.2.1", "n2": "192.0.2.2"}, 1.0, {})
    answers = [NoAnswer("connection-lost"), json.dumps(HEADER), json.dumps({**HEADER, "succeeded": False})]
    asked = []

    async def exchange(node, method, path, _body):
        asked.append((node, method, path))
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return 200, answer

    client.exchange = exchange
    done = [asyncio.run(client.invoke(f, "k", v)) for f, v in (("write", 1), ("write", 2), ("cas", [1, 2]))]
    assert [(d.type, d.error, d.node) for d in done] == [
        ("info", "connection-lost", "n1"),
        ("ok", None, "n2"),
        ("fail", "mismatch", "n2"),
    ]
    assert asked == [
        (node, "POST", f"/v3/kv/{what}") for node, what in (("n1", "put"), ("n2", "put"), ("n2", "txn"))
    ]
    assert client.node == "n2"
