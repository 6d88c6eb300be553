# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What names are told to be, on which node, and the hosts file that says so."""

from __future__ import annotations

import random
import re
import subprocess
from functools import partial
from unittest.mock import Mock

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import mounts
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    ClusterView,
    Context,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import read_parameters
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _hosts_files,
    _lookups,
    name_service,
)
from hypothesis import given
from hypothesis import strategies as st

HOSTS = """127.0.0.1 localhost
10.0.0.1 n1
10.0.0.2\tn2.example n2  # the second

# n3 is new
10.0.0.3 n3
"""


def cluster(count=3):
    nodes = {f"n{i}": f"10.0.0.{i}" for i in range(1, count + 1)}
    return ClusterView("t", nodes, {"o1": "10.0.1.1"}, {}, {})


def wrong(**said):
    params, problems = read_parameters(name_service.FAULT.parameters, said)
    return problems or list(name_service.FAULT.problems(params))


def plan(*nodes, count=3, seed=0, **said):
    params, problems = read_parameters(name_service.FAULT.parameters, said)
    assert not problems
    view = cluster(count)
    return name_service.FAULT.plan(params, Targets(nodes or list(view.nodes), view, random.Random(seed)))


def resolve(hosts, name):
    """What glibc finds in a hosts file: the address of the first line that has the name."""
    for line in hosts.splitlines():
        parts = line.partition("#")[0].split()
        if name.lower() in [part.lower() for part in parts[1:]]:
            return parts[0]
    return None


def test_a_name_that_is_gone_takes_no_other_with_it():
    composed = _hosts_files.compose(HOSTS, [{"N2": None}])
    assert resolve(composed, "n2") is None
    assert resolve(composed, "n2.example") == "10.0.0.2"
    assert resolve(composed, "n3") == "10.0.0.3"
    assert "# n3 is new\n" in composed and "  # the second" in composed.replace(" #", "  #")


def test_a_line_without_a_name_left_goes():
    assert _hosts_files.compose(HOSTS, [{"n3": None}]) == HOSTS.replace("10.0.0.3 n3\n", "")


def test_later_ones_lie_above_earlier_ones_and_leave_the_others():
    composed = _hosts_files.compose(HOSTS, [{"n2": "10.0.0.9", "n3": None}, {"n2": None, "n1": "10.0.0.8"}])
    assert [resolve(composed, f"n{i}") for i in (1, 2, 3)] == ["10.0.0.8", None, None]


def test_no_fault_leaves_every_line_as_it_was():
    assert _hosts_files.compose(HOSTS, []) == HOSTS


NAMES = st.sampled_from(["a", "b", "c.example", "D"])
ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
TOLD = st.dictionaries(NAMES, st.none() | ADDRESSES, max_size=4)
LINES = st.tuples(ADDRESSES, st.lists(NAMES, min_size=1, max_size=4)).map(
    lambda row: f"{row[0]} {' '.join(row[1])}"
)


@given(st.lists(LINES | st.just("") | st.just("# a b"), max_size=6), st.lists(TOLD, max_size=3))
def test_every_name_is_what_the_last_fault_says_else_what_it_was(lines, told):
    base = "".join(f"{line}\n" for line in lines)
    composed = _hosts_files.compose(base, told)
    for name in ("a", "b", "c.example", "D"):
        said = [one[name] for one in told if name in one]
        assert resolve(composed, name) == (said[-1] if said else resolve(base, name))


def test_all_other_nodes_by_default():
    assert plan(action="nothing") == {
        "n1": {"names": {"n2": None, "n3": None}, "dns": False},
        "n2": {"names": {"n1": None, "n3": None}, "dns": False},
        "n3": {"names": {"n1": None, "n2": None}, "dns": False},
    }


def test_a_given_target_is_never_told_of_itself():
    programs = plan("n1", "n3", action="wrong", to="n3")
    assert programs == {
        "n1": {"names": {"n2": "10.0.0.3"}, "dns": False},
        "n3": {"names": {"n1": "10.0.0.3", "n2": "10.0.0.3"}, "dns": False},
    }
    assert plan("n1", action="wrong", names="db.example.org", to="192.0.2.7", dns="yes") == {
        "n1": {"names": {"db.example.org": "192.0.2.7"}, "dns": True}
    }


@given(st.integers(2, 8), st.integers(0, 2**32))
def test_drawn_addresses_are_wrong_and_the_same_for_the_same_seed(count, seed):
    programs = plan(action="wrong", count=count, seed=seed)
    assert programs == plan(action="wrong", count=count, seed=seed)
    nodes = cluster(count).nodes
    for node, program in programs.items():
        assert set(program["names"]) == set(nodes) - {node}
        assert all(nodes[name] != address in nodes.values() for name, address in program["names"].items())


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({}, "action: is required but missing"),
        ({"action": "gone"}, "action: given 'gone'; allowed: nothing, wrong"),
        ({"action": "nothing", "to": "n3"}, "to: given for 'nothing'; allowed: for wrong only"),
        ({"action": "nothing", "names": ["localhost"]}, "names: given 'localhost'; allowed: names of other"),
        ({"action": "nothing", "names": "n1,n1"}, "names: given 'n1' 2 times"),
        ({"action": "nothing", "dns": "perhaps"}, "dns: given 'perhaps'; allowed: true or false"),
    ],
)
def test_mistakes(said, problem):
    assert [line for line in wrong(**said) if line.startswith(problem)]


@pytest.mark.parametrize(
    ("nodes", "said", "problem"),
    [
        ([], {"action": "nothing", "names": "n7"}, "names: given 'n7'; allowed: n1, n2, n3, o1"),
        ([], {"action": "wrong", "to": "n7"}, "to: given 'n7'; allowed: n1, n2, n3, o1"),
        (["n1"], {"action": "nothing", "names": "n1"}, "names: no name would resolve otherwise"),
        (["n1"], {"action": "wrong", "names": "n2", "to": "n2"}, "names: no name would resolve otherwise"),
    ],
)
def test_what_a_cluster_cannot_give(nodes, said, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        plan(*nodes, **said)


@pytest.mark.parametrize(
    ("nsswitch", "found"),
    [
        ("hosts:          files dns\n", ["files", "dns"]),
        ("hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns # x\n", None),
        ("passwd: files\n", ["dns", "files"]),
    ],
)
def test_sources(nsswitch, found):
    assert name_service.sources(nsswitch) == (
        found or ["mymachines", "resolve", "files", "myhostname", "dns"]
    )


def test_answers_are_addresses_once():
    output = "10.0.0.2 STREAM n2\n10.0.0.2 DGRAM\n10.0.0.2 RAW\n"
    assert _lookups.parse_answers(output) == ["10.0.0.2"]
    assert _lookups.parse_answers("") == []


def test_real_lookups_come_from_a_fresh_process():
    assert _lookups.look_up(["127.0.0.1"]) == {"127.0.0.1": ["127.0.0.1"]}
    assert _lookups.look_up([]) == {}


MOUNTINFO = r"""20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
21 20 0:5 / /srv/a\040b rw shared:2 - tmpfs tmpfs rw
22 21 0:6 /x /srv/a\040b ro,nosuid - tmpfs tmpfs rw
23 22 0:7 / /srv/a\040b/deep rw - tmpfs tmpfs rw
"""


def test_mounts():
    found = mounts.parse(MOUNTINFO)
    assert mounts.on_top(found, "/srv/a b") == mounts.Mount(22, 21, "/x", "/srv/a b", ("ro", "nosuid"))
    assert mounts.on_top(found, "/srv/a b").read_only and not mounts.on_top(found, "/").read_only
    assert mounts.on_top(found, "/srv") is None
    assert mounts.below(found, "/srv/") == ["/srv/a b", "/srv/a b/deep"]
    assert mounts.below(found, "/srv/a b/deep") == []


@pytest.fixture
def fault(monkeypatch):
    """A fault whose lookups are what a test says."""

    def made(names, before, during, dns=False, hosts=HOSTS):
        program = {"names": names, "dns": dns}
        one = name_service.FAULT(Context("r", "f", program, 0, 0, True))
        monkeypatch.setattr(_hosts_files, "records", list)
        monkeypatch.setattr(_hosts_files, "base", lambda: hosts)
        monkeypatch.setattr(_lookups, "look_up", lambda asked, *_: {n: before.get(n) for n in asked})
        monkeypatch.setattr(_hosts_files, "shown", lambda *_: True)
        one.undo()
        one.running = Mock(done=lambda: True, answers=lambda: during)
        return one

    return made


@pytest.mark.parametrize(
    ("told", "before", "during", "dns", "effective"),
    [
        (None, ["10.0.0.2"], [], False, True),
        ("10.0.0.3", ["10.0.0.2"], ["10.0.0.3"], False, True),
        # A name that never resolved resolves to nothing whoever does what.
        (None, [], [], False, False),
        ("10.0.0.2", ["10.0.0.2"], ["10.0.0.2"], False, False),
        # A lookup that takes too long is no answer, but where DNS is dead.
        (None, ["10.0.0.2"], None, False, False),
        (None, ["10.0.0.2"], None, True, True),
        ("10.0.0.3", ["10.0.0.2"], None, True, False),
        # What it resolved to before is in the hosts file, or nobody knows.
        (None, None, [], False, True),
    ],
)
def test_only_a_name_that_resolved_otherwise_shows_the_effect(fault, told, before, during, dns, effective):
    seen = fault({"n2": told}, {"n2": before}, {"n2": during}, dns).evidence()
    assert seen["effective"] is effective, seen
    assert seen["lookups"]["slow"] == (during is None and not dns)


def test_a_name_that_nobody_knows_shows_no_effect(fault):
    assert not fault({"x.org": None}, {}, {"x.org": []}).evidence()["effective"]


@pytest.mark.parametrize(
    ("before", "after", "well"),
    [
        (["10.0.0.2"], ["10.0.0.2"], True),
        (["10.0.0.2"], [], False),
        (["10.0.0.2"], None, False),
        (None, ["10.0.0.2"], True),  # as the hosts file says
        (None, ["10.0.0.9"], False),
        (["10.0.0.2", "10.0.0.4"], ["10.0.0.4", "10.0.0.2"], True),
    ],
)
def test_names_have_to_resolve_as_before_also_where_lookups_were_slow(
    fault, monkeypatch, before, after, well
):
    one = fault({"n2": None}, {"n2": before}, {"n2": []})
    monkeypatch.setattr(name_service, "RECOVERY_S", 0.0)
    monkeypatch.setattr(_lookups, "look_up", lambda asked, *_: dict.fromkeys(asked, after))
    assert one._recovered() is well
    assert _lookups.as_before({}, {})
    assert not _lookups.as_before({"x.org": None}, {"x.org": []})


def test_a_lookup_that_is_ended_is_no_answer(monkeypatch):
    monkeypatch.setattr(_lookups.subprocess, "Popen", partial(_slow, subprocess.Popen))
    assert _lookups.look_up(["n2"], 0.05) == {"n2": None}


def _slow(popen, _command, **more):
    return popen(["sleep", "20"], **more)


@given(st.lists(LINES | st.just("# a b"), max_size=6), NAMES)
def test_addresses_in_a_hosts_file_begin_with_what_glibc_finds(lines, name):
    hosts = "".join(f"{line}\n" for line in lines)
    assert next(iter(_lookups.addresses_in(hosts, name)), None) == resolve(hosts, name)
