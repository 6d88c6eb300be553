# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Health of etcd: every member healthy, one leader, revisions converge."""

from __future__ import annotations

import json
import time

testinfra_hosts = ["ansible://etcd"]

CONVERGE_S = 20


def cluster_status(host):
    """What each member says of itself, asked through one of them."""
    answer = host.run("etcdctl endpoint status --cluster --write-out=json")
    return [member["Status"] for member in json.loads(answer.stdout)] if answer.rc == 0 else []


def eventually(look, accept, timeout_s):
    """Look until the answer is accepted or time is up; returns the last answer."""
    deadline = time.monotonic() + timeout_s
    while not accept(answer := look()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return answer


def test_member_runs_and_will_be_restarted(host):
    """systemd runs the member and would restart it."""
    answer = host.run("systemctl show etcd.service --property=ActiveState,Restart,UnitFileState")
    assert set(answer.stdout.split()) == {"ActiveState=active", "Restart=always", "UnitFileState=enabled"}


def test_member_is_healthy(host):
    """The member commits a proposal through the quorum."""
    answer = host.run("etcdctl endpoint health")
    assert answer.rc == 0, answer.stderr


def test_one_leader_and_revisions_converge(host):
    """Seen from each member, all name one leader of the cluster, and their revisions become the same."""

    def settled(members):
        revisions = {member["header"]["revision"] for member in members}
        return len(revisions) == 1 and len({member["leader"] for member in members}) == 1

    members = eventually(lambda: cluster_status(host), settled, CONVERGE_S)
    assert len(members) == len(host.run("etcdctl member list").stdout.splitlines()) > 1
    assert {member["leader"] for member in members} < {member["header"]["member_id"] for member in members}
    assert settled(members)


def test_every_node_is_a_voting_member(host):
    """None is left out, also where dead members leave: by now they are back."""
    nodes = set(host.ansible.get_variables()["groups"]["etcd"])

    def voting():
        answer = host.run("etcdctl member list --write-out=json")
        members = json.loads(answer.stdout)["members"] if answer.rc == 0 else []
        return {member.get("name") for member in members if not member.get("isLearner")}

    assert eventually(voting, lambda names: names == nodes, CONVERGE_S) == nodes


def test_the_keeper_runs_where_the_inventory_wants_it(host):
    """It is there together with what it asks before etcd starts, or neither is."""
    wanted = host.file("/etc/etcd-keeper.json").exists
    answer = host.run("systemctl show etcd-keeper.service --property=ActiveState --value")
    assert answer.stdout.strip() == ("active" if wanted else "inactive")
    started = host.run("systemctl show etcd.service --property=ExecStartPre")
    assert ("etcd_keeper" in started.stdout) is wanted
