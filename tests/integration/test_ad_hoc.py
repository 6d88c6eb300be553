# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults one by one, as a task or ad hoc: begun once, listed, taken back, refused in one line."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from support import ROOT

pytestmark = pytest.mark.lab


def ad_hoc(lab, node, module, arguments, *more):
    """What a module answers on one host."""
    named = ["-m", f"foundation.testbed.{module}", "-a", arguments]
    done = subprocess.run(
        ["ansible", node, "-i", str(lab.inventory), *named, *more],
        cwd=ROOT, text=True, capture_output=True, check=False, timeout=120,
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
    )  # fmt: skip
    # What goes wrong is printed first, in Python's words.
    return json.loads(done.stdout.partition("=> ")[2])


def active(lab, node):
    return ad_hoc(lab, node, "fault_info", "testbed_id=itest")["faults"]


def test_a_fault_is_begun_once_listed_and_taken_back(whole):
    would = ad_hoc(whole, "n1", "partition", "peers=n2 for=60s", "--check")
    assert would["changed"] and active(whole, "n1") == []
    begun = ad_hoc(whole, "n1", "partition", "peers=n2 for=60s")
    assert begun["changed"] and begun["evidence"]["present"] and begun["evidence"]["effective"]
    again = ad_hoc(whole, "n1", "partition", "peers=n2 for=60s")
    assert (again["changed"], again["run"]) == (False, begun["run"])
    other = ad_hoc(whole, "n1", "partition", "peers=n3 for=60s")
    assert "id: given 'partition', the name of another fault that is active" in other["msg"]
    (fault,) = active(whole, "n1")
    assert (fault["fault"], fault["type"], fault["run"]) == ("partition", "partition", begun["run"])
    assert 0 < fault["left_s"] < 60 and fault["until"].startswith(begun["until"][:16])
    assert ad_hoc(whole, "n1", "partition", "state=absent")["changed"]
    assert active(whole, "n1") == []
    assert not ad_hoc(whole, "n1", "partition", "state=absent")["changed"]


def test_heal_takes_back_what_was_begun_ad_hoc_and_finds_strays(whole):
    ad_hoc(whole, "n1", "link", "peers=n2 delay=20ms for=60s")
    whole.on("n2", "nft add table inet foundation_testbed_stray")
    assert [fault["run"] for fault in active(whole, "n2")] == [None]
    assert whole.playbook("heal").changed() == 2
    assert active(whole, "n1") == active(whole, "n2") == []
    assert whole.playbook("heal").changed() == 0


@pytest.mark.parametrize(
    ("module", "arguments", "words"),
    [
        (
            "partition",
            "peers=n9 for=9s",
            "peers: given 'n9'; allowed: n1, n2, n3, observer1; or an IPv4 address",
        ),
        ("partition", "peers=10.77.1.1 for=9s", "peers: given '10.77.1.1', the management address"),
        ("partition", "peers=n2", "for: is required but missing"),
        ("partition", "peers=n2 for=-5s", "for: given '-5s'; allowed: a positive number with a unit"),
        ("partition", "peers=n2 for=7h", "for: given '7h'; allowed: at most 6h, the longest lease"),
        ("link", "loss=101 for=9s", "loss: given '101'; allowed: a percentage above 0, up to 100"),
        ("process", "action=kill unit=nosuch.service for=9s", "nosuch.service"),
        ("clock", "action=step offset=30s for=9s", "this provider's nodes share the host's clock"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_touched(whole, module, arguments, words):
    answer = ad_hoc(whole, "n1", module, arguments)
    assert answer.get("failed", True) and words in answer["msg"], answer
    assert "\n" not in answer["msg"].strip()
    assert active(whole, "n1") == []


def test_a_host_that_is_not_enrolled_is_refused(whole):
    whole.on("n3", "mv /etc/foundation-testbed/enrolment.json /root/")
    try:
        answer = ad_hoc(whole, "n3", "partition", "peers=n2 for=9s")
    finally:
        whole.on("n3", "mv /root/enrolment.json /etc/foundation-testbed/")
    assert "this host is not enrolled in any testbed" in answer["msg"]
