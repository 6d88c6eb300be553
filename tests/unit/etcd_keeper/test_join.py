# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Before etcd starts: data is given up for a place that was given, and for nothing else."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from etcd_keeper import gateway, join, settings
from etcd_keeper.decisions import Known, Listing, Member, Step, before_start, initial_cluster
from hypothesis import given
from hypothesis import strategies as st

OWN, OTHER = "http://10.0.0.1:2380", "http://10.0.0.2:2380"
REST = Member(2, OTHER, "http://10.0.0.2:2379")
KNOWN = Known(7, 1)


def listing(*places, cluster=7):
    return Listing(cluster, (REST, *places))


def place(number, started=True, learner=False):
    return Member(number, OWN, "http://10.0.0.1:2379" if started else "", learner)


@pytest.mark.parametrize(
    ("what", "known", "has_data", "said", "step"),
    [
        ("nobody leads", KNOWN, True, None, Step.START),
        ("nobody leads, at the first start", None, False, None, Step.START),
        ("nobody leads, and the data is lost", KNOWN, False, None, Step.WAIT),
        ("a member as before", KNOWN, True, listing(place(1)), Step.START),
        ("removed", KNOWN, True, listing(), Step.ADD),
        ("removed, and the disk is new", None, False, listing(), Step.ADD),
        ("data of nobody knows what", None, True, listing(), Step.START),
        ("another cluster", KNOWN, True, listing(cluster=8), Step.START),
        (
            "the place was given, then it was cut short",
            KNOWN,
            True,
            listing(place(3, False, True)),
            Step.TAKE,
        ),
        ("the same, after the data was given up", KNOWN, False, listing(place(3, False, True)), Step.TAKE),
        ("about to start in its place", Known(7, 3), False, listing(place(3, False, True)), Step.GO_ON),
        ("it started, and was cut short", Known(7, 3), True, listing(place(3, False, True)), Step.GO_ON),
        ("a learner as before", Known(7, 3), True, listing(place(3, True, True)), Step.START),
        ("the disk is lost and the member is listed", KNOWN, False, listing(place(1)), Step.WAIT),
        ("the same on a new disk", None, False, listing(place(1)), Step.WAIT),
        ("a member by another address", Known(7, 2), True, listing(), Step.START),
        ("another member is where this one was", KNOWN, True, listing(place(3)), Step.WAIT),
        ("the first start of a new cluster", None, False, listing(place(1, False)), Step.START),
        ("the same once more", KNOWN, True, listing(place(1, False)), Step.START),
    ],
)
def test_what_a_node_does_before_its_etcd_starts(what, known, has_data, said, step):
    assert before_start(known, has_data, OWN, said) is step, what


PLACES = st.builds(place, st.integers(1, 4), st.booleans(), st.booleans())
LISTINGS = st.none() | st.builds(
    lambda own, cluster: listing(*own, cluster=cluster), st.lists(PLACES, max_size=1), st.integers(7, 8)
)


@given(st.none() | st.builds(Known, st.integers(7, 8), st.integers(1, 4)), st.booleans(), LISTINGS)
def test_data_is_only_given_up_for_a_place_in_the_cluster_that_it_is_of(known, has_data, said):
    """Never that of a member which is listed, nor without a leader, nor of an unknown or another cluster."""
    step = before_start(known, has_data, OWN, said)
    if has_data and step in (Step.ADD, Step.TAKE):
        assert known is not None and said is not None and known.cluster_id == said.cluster_id
        assert known.member_id not in {member.id for member in said.members}


def test_the_initial_cluster_names_members_by_their_address():
    said = listing(place(3, False, True), Member(11, "http://10.9.9.9:2380"))
    assert initial_cluster(said, {OWN: "n1", OTHER: "n2"}) == f"n2={OTHER},n1={OWN},b=http://10.9.9.9:2380"


class Cluster:
    """A leader's gateway: a list of members, of which those that are asked for become learners."""

    def __init__(self):
        self.members = [REST]
        self.refuses = {}
        self.unanswered = set()
        self.asked = []
        self.next_id = 3

    def answer(self, path, body):
        self.asked.append(path)
        header = {"cluster_id": "7", "member_id": "2", "raft_term": "4", "revision": "1"}
        if path in self.refuses:
            return 500, {"error": self.refuses[path], "message": self.refuses[path]}
        if path.endswith("/status"):
            return 200, {"header": header, "leader": "2"}
        if path.endswith("/add"):
            self.members.append(Member(self.next_id, body["peerURLs"][0], "", body["isLearner"]))
            self.next_id += 1
        said = [self._said(member) for member in self.members]
        return 200, {"header": header, "members": said, "member": said[-1]}

    def _said(self, member):
        said = {"ID": str(member.id), "peerURLs": [member.peer_url]}
        if member.client_url:
            said.update(name="n", clientURLs=[member.client_url])
        return {**said, "isLearner": True} if member.learner else said


@pytest.fixture
def cluster():
    """The leader, served on this machine; its `url` is where."""
    found = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = found.answer(self.path, body)
            if self.path in found.unanswered:
                return
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def node(cluster, tmp_path):
    """The settings of a node that was member 1, with data."""
    file = tmp_path / "settings.json"
    nodes = {
        "n1": {"peer_url": OWN, "client_url": "http://127.0.0.1:1"},
        "n2": {"peer_url": OTHER, "client_url": cluster.url},
    }
    said = {
        "peer_url": OWN,
        "members": nodes,
        "data_dir": str(tmp_path / "data"),
        "keeps": str(tmp_path / "keeps"),
    }
    file.write_text(json.dumps({**said, "dead_s": 3, "floor": 3}))
    found = settings.load(file)
    settings.keep_known(found, KNOWN)
    (found.data / "wal").mkdir(parents=True)
    return found


def variables(node):
    return (node.keeps / "initial-cluster.env").read_text().splitlines()


def test_a_member_that_was_removed_takes_a_new_place(cluster, node):
    assert join.join(node)
    assert settings.known(node) == Known(7, 3) and not node.data.exists()
    assert variables(node) == [
        f'ETCD_INITIAL_CLUSTER="n2={OTHER},n1={OWN}"',
        'ETCD_INITIAL_CLUSTER_STATE="existing"',
    ]
    assert cluster.members[-1].learner
    assert join.join(node) and len(cluster.members) == 2


def test_nothing_is_given_up_where_no_place_is_given(cluster, node, monkeypatch):
    monkeypatch.setattr(join, "PLACE_S", 0.5)
    cluster.refuses["/v3/cluster/member/add"] = "etcdserver: too many learner members in cluster"
    with pytest.raises(gateway.Refused, match="too many learner"):
        join.join(node)
    assert node.data.exists() and settings.known(node) == KNOWN
    assert cluster.asked.count("/v3/cluster/member/add") > 1


@pytest.mark.parametrize("done", [False, True])
def test_after_an_order_without_an_answer_the_next_start_takes_the_place(cluster, node, done):
    """Raft may have dropped the order, or carried it out: a member has one place all the same."""
    add = "/v3/cluster/member/add"
    cluster.unanswered.add(add)
    with pytest.raises(gateway.Refused):
        join.join(node)
    assert node.data.exists() and settings.known(node) == KNOWN
    cluster.unanswered.clear()
    if not done:
        cluster.members.pop()
    assert join.join(node)
    assert [member.peer_url for member in cluster.members] == [OTHER, OWN]
    assert settings.known(node) == Known(7, cluster.members[-1].id)


def test_a_member_whose_data_is_lost_does_not_start(cluster, node):
    node.data.joinpath("wal").rmdir()
    node.data.rmdir()
    cluster.members.append(Member(1, OWN, "http://10.0.0.1:2379"))
    assert not join.join(node)
    cluster.refuses["/v3/kv/range"] = "etcdserver: request timed out"
    assert not join.join(node)


def test_a_leader_that_has_no_majority_is_not_believed(cluster, node):
    cluster.refuses["/v3/kv/range"] = "etcdserver: request timed out"
    assert join.join(node) and node.data.exists()
    assert "/v3/cluster/member/add" not in cluster.asked


def test_of_two_that_say_that_they_lead_the_one_that_a_majority_follows_is_believed(node, monkeypatch):
    """Whoever answers first; who does not lead is not asked."""
    said = [("follower", (2, 4)), ("old leader", (3, 3)), ("leader", (4, 4))]
    answers = [(url, gateway.Status(7, member, leads, 5)) for url, (member, leads) in said]
    monkeypatch.setattr(gateway, "as_answered", lambda *_: answers)
    present = Listing(7, (REST,))

    def latest(url, _timeout_s):
        if url != "leader":
            raise gateway.Refused("request timed out")
        return present

    monkeypatch.setattr(gateway, "latest_listing", latest)
    assert join.leader_of(node) == ("leader", present)


@pytest.mark.parametrize("cut", ["keep_initial_cluster", "rmtree", "keep_known"])
@pytest.mark.parametrize("done", [False, True])
def test_cut_short_anywhere_it_goes_on(cluster, node, monkeypatch, cut, done):
    """A loss of power right before or after each step; then everything is as if there had been none."""
    owner = join.shutil if cut == "rmtree" else join
    step = getattr(owner, cut)

    def cut_short(*arguments):
        if done:
            step(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, cut, cut_short)
        with pytest.raises(KeyboardInterrupt):
            join.join(node)
    assert join.join(node)
    assert settings.known(node) == Known(7, 3) and not node.data.exists()
    assert len(cluster.members) == 2 and variables(node)[1].endswith('"existing"')


def test_the_initial_cluster_follows_the_list_until_etcd_has_started(cluster, node):
    """etcd refuses to join by another list than the present one."""
    assert join.join(node)
    cluster.members.append(Member(9, "http://10.0.0.9:2380", "http://10.0.0.9:2379"))
    assert join.join(node)
    assert "10.0.0.9" in variables(node)[0]


def test_what_cannot_be_read_is_not_known(node):
    (node.keeps / "known.json").write_text('{"cluster_id": 7')
    assert settings.known(node) is None
