# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that belong to somebody are exactly as before once they are released, whatever interrupted it."""

from __future__ import annotations

import json
import subprocess

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import Node
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from support import ROOT, STATE_DIR, Lab, kill_tree, record, wait_until

INVENTORY = ROOT / "molecule/baremetal/cluster.yml"
HOSTS = ("observer1", "n1", "n2", "n3")
ENROL = ("-e", "testbed_enrol=metal", "-e", "lab_baremetal_apt_update=false")
STATE = (ROOT / "tests/support/host_state.py").read_text(encoding="utf-8")


def support_playbook(name):
    command = ["ansible-playbook", "-i", "localhost,", f"tests/support/{name}.yml"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.fixture(scope="module")
def metal(tmp_path_factory):
    """Four hosts that know nothing of the testbed."""
    support_playbook("strangers")
    yield Lab(INVENTORY, tmp_path_factory.mktemp("runs"))
    support_playbook("strangers_absent")


def state(metal, host):
    return json.loads(metal.on(host, "python3 -", stdin=STATE))


@pytest.fixture
def untouched(metal):
    """The hosts before a test; afterwards they have to be the same."""
    before = {host: state(metal, host) for host in HOSTS}
    yield before
    assert_untouched(metal, before)


def assert_untouched(metal, before, hosts=HOSTS):
    for host in hosts:
        now = state(metal, host)
        for what, was in before[host].items():
            assert difference(was, now[what]) == [], f"{host}: {what}"


def difference(was, now):
    if isinstance(was, dict):
        was, now = [f"{k} {v}" for k, v in was.items()], [f"{k} {v}" for k, v in now.items()]
    return [f"gone: {one}" for one in was if one not in now] + [
        f"new: {one}" for one in now if one not in was
    ]


def test_nothing_is_installed_before_somebody_said_so(metal, untouched):
    """Neither a look (check mode), nor a wrong answer, nor nobody there to answer."""
    seen = metal.playbook("enrol", "--check", *ENROL)
    assert seen.status == 0, seen.output[-3000:]
    assert "etcd-server" in seen.output
    for answer in ([], ["-e", "testbed_enrol=other"]):
        refused = metal.playbook("enrol", "-e", "lab_baremetal_apt_update=false", *answer)
        assert refused.status != 0
        assert "nothing was installed" in refused.output


def test_a_whole_night_from_strangers_to_a_verdict_and_back(metal, untouched):
    for playbook in ("provision", "deploy", "verify"):
        outcome = metal.playbook(playbook, *ENROL)
        assert outcome.status == 0, outcome.output[-4000:]
    again = metal.playbook("provision", *ENROL)
    assert (again.status, again.changed()) == (0, 0), again.output[-3000:]
    outcome = metal.run("partition")
    assert outcome.status == 0, outcome.output[-4000:]
    assert record(metal.newest())["provider"] == "baremetal"
    for expected in (True, False):
        released = metal.playbook("destroy")
        assert released.status == 0, released.output[-3000:]
        assert (released.changed() > 0) is expected
        assert_untouched(metal, untouched)


def interrupted(metal, playbook, host, *arguments):
    """Begin something on one host, cut its power while dpkg works, kill the controller, and switch it on."""
    process = subprocess.Popen(
        metal.command(playbook, "--limit", host, *arguments),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    unpacks = "pgrep -x dpkg"
    wait_until(lambda: metal.on(host, unpacks, check=False).strip(), 120, f"apt on {host}")
    Node(LabPaths(STATE_DIR, "strangers"), host).kill()
    kill_tree(process)
    support_playbook("strangers")


@pytest.mark.parametrize("goes_on", [False, True], ids=["released", "enrolled-then-released"])
def test_a_power_cut_in_the_midst_of_an_enrolment_leaves_nothing_behind(metal, untouched, goes_on):
    interrupted(metal, "enrol", "n1", *ENROL)
    if goes_on:
        outcome = metal.playbook("enrol", "--limit", "n1", *ENROL)
        assert outcome.status == 0, outcome.output[-3000:]
        assert "brought to its end: n1" in outcome.output
    released = metal.playbook("release", "--limit", "n1")
    assert released.status == 0, released.output[-3000:]
    assert_untouched(metal, untouched, ["n1"])


def test_a_power_cut_in_the_midst_of_a_release_is_gone_on_from(metal, untouched):
    outcome = metal.playbook("enrol", "--limit", "n2", *ENROL)
    assert outcome.status == 0, outcome.output[-3000:]
    interrupted(metal, "release", "n2")
    refused = metal.playbook("enrol", "--limit", "n2", *ENROL)
    assert "its release has begun and not ended" in refused.output
    released = metal.playbook("release", "--limit", "n2")
    assert released.status == 0, released.output[-3000:]
    assert_untouched(metal, untouched, ["n2"])


def test_a_host_that_somebody_uses_is_refused_with_every_reason(metal, untouched):
    metal.on("n3", "mkdir -p /var/lib/etcd && touch /var/lib/etcd/theirs && mkdir -p /etc/foundation-testbed")
    marker = "/etc/foundation-testbed/enrolment.json"
    refused = metal.playbook("enrol", "--limit", "n3", *ENROL)
    assert "/var/lib/etcd holds data of somebody's (/var/lib/etcd/theirs)" in refused.output
    metal.on("n3", f"""rm -r /var/lib/etcd; echo '{{"testbed_id": "other"}}' > {marker}""")
    refused = metal.playbook("enrol", "--limit", "n3", *ENROL)
    assert "it is enrolled in the testbed 'other'" in refused.output
    metal.on("n3", f"rm {marker}")


def test_what_the_owner_did_meanwhile_stays_and_is_told(metal):
    """A user made and a file changed while the host was the testbed's are not ours to take back."""
    before = state(metal, "n3")
    assert metal.playbook("enrol", "--limit", "n3", *ENROL).status == 0
    metal.on(
        "n3", "useradd --system theirs && echo theirs > /etc/theirs && systemctl mask --quiet cron.service"
    )
    released = metal.playbook("release", "--limit", "n3")
    assert released.status == 0, released.output[-3000:]
    assert "changed by somebody since" in released.output
    now = state(metal, "n3")
    assert "theirs" in " ".join(now["users"])
    assert "/etc/theirs" in now["files"]
    assert now["packages"] == before["packages"]
    metal.on("n3", "userdel theirs; rm -f /etc/theirs /etc/*-; systemctl unmask --quiet cron.service")
    assert difference(before["users"], state(metal, "n3")["users"]) == []
