# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a storage fault may be told, and how its unit runs before, meanwhile and afterwards."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
from dataclasses import replace

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import service_units
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    ClusterView,
    Context,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    parse_bytes,
    read_parameters,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _process_markers,
    _read_only,
    storage,
)
from hypothesis import given
from hypothesis import strategies as st

CLUSTER = ClusterView("t", {"n1": "10.0.0.1", "n2": "10.0.0.2"}, {}, {}, {})


def wrong(**said):
    params, problems = read_parameters(storage.FAULT.parameters, said)
    return problems or list(storage.FAULT.problems(params))


def plan(seed=0, **said):
    params, problems = read_parameters(storage.FAULT.parameters, said)
    assert not problems
    return storage.FAULT.plan(params, Targets(["n1", "n2"], CLUSTER, random.Random(seed)))


PATHS = st.lists(st.sampled_from(["/a", "/a/b", "/a/b/c", "/d", "/ab"]), unique=True)


@given(PATHS, PATHS)
def test_mounts_are_made_and_taken_so_that_each_can_be_reached(have, wanted):
    have = sorted(have, key=lambda path: path.count("/"))
    take, make = _read_only.steps(have, wanted)
    stack = list(have)
    for path in take:
        assert not any(later.startswith(f"{path}/") or path.startswith(f"{later}/")
                       for later in stack[stack.index(path) + 1 :])  # fmt: skip
        stack.remove(path)
    for path in make:
        assert not any(earlier.startswith(f"{path}/") for earlier in stack)
        stack.append(path)
    assert sorted(stack) == sorted(wanted)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/etc/passwd", "/etc"),
        ("/usr", "/usr"),
        ("/", "/bin"),
        ("/var", "/var/lib/dpkg"),
        ("/var/lib/foundation-testbed/runs", "/var/lib/foundation-testbed"),
        ("/var/lib/etcd", None),
        ("/etcetera", None),
        ("/srv/usr", None),
    ],
)
def test_what_the_node_needs_itself_is_left_alone(path, kept):
    assert storage.kept_by(path) == kept


def test_plans():
    path = {"action": "read_only", "path": "/var/lib/etcd"}
    assert plan(**path, unit="etcd.service")["n2"] == {**path, "unit": "etcd.service"}
    cut = plan(action="truncate", file="/srv/*.log", size="4K")["n1"]
    assert cut == {"action": "truncate", "file": "/srv/*.log", "size": 4096}
    flips = plan(action="bit_flip", file="/srv/a")
    assert flips == plan(action="bit_flip", file="/srv/a") != plan(1, action="bit_flip", file="/srv/a")
    assert flips["n1"]["seed"] != flips["n2"]["seed"] and flips["n1"]["bits"] == 1


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({}, "action: is required but missing"),
        ({"action": "slow"}, "action: given 'slow'; allowed: bit_flip, read_only, truncate; the fault disk"),
        (
            {"action": "lost_writes"},
            "action: given 'lost_writes'; allowed: bit_flip, read_only, truncate; the fault power",
        ),
        ({"action": "read_only"}, "path: given 0 of path for read_only; allowed: one"),
        (
            {"action": "read_only", "path": "/srv", "bits": 2},
            "bits: given for read_only; allowed: path, unit",
        ),
        ({"action": "read_only", "path": "srv"}, "path: given 'srv'; allowed: an absolute path"),
        ({"action": "read_only", "path": "/srv/../etc"}, "path: given '/srv/../etc'; allowed: an absolute"),
        ({"action": "truncate", "file": "/srv/a"}, "size: given 0 of size and bytes for truncate"),
        ({"action": "truncate", "file": "/srv/a", "size": 1, "bytes": 1}, "size: given 2 of size and bytes"),
        ({"action": "truncate", "file": "/srv/a", "size": -1}, "size: given -1; allowed: bytes as"),
        (
            {"action": "truncate", "file": "/usr/bin/etcd", "size": 1},
            "file: given '/usr/bin/etcd'; allowed: n",
        ),
        ({"action": "bit_flip", "file": "/srv/a", "bits": 0}, "bits: given 0; allowed: a whole number"),
        ({"action": "bit_flip", "file": "/srv/a", "unit": "a b"}, "unit: given 'a b'; allowed: the name of"),
        ({"action": "bit_flip", "file": "/srv/a", "unit": "ssh"}, "unit: given 'ssh'; allowed: any service"),
        (
            {"action": "read_only", "path": "/srv", "unit": "foundation-testbed-recover.service"},
            "unit: given 'foundation-testbed-recover.service'; allowed: any service but ssh",
        ),
    ],
)
def test_mistakes(said, problem):
    assert [line for line in wrong(**said) if line.startswith(problem)], wrong(**said)


@pytest.mark.parametrize(("given_", "size"), [(0, 0), ("0", 0), (7, 7), ("4K", 4096), ("1M", 2**20)])
def test_bytes(given_, size):
    assert parse_bytes(given_) == size


@pytest.mark.parametrize("given_", [-1, 1.5, "4 X", None, True, 2**61])
def test_wrong_bytes(given_):
    with pytest.raises(ValueError, match=re.escape("allowed: bytes as a whole number")):
        parse_bytes(given_)


class Units:
    """What systemd does with one unit, and what it was told."""

    def __init__(self):
        self.up, self.job, self.slow, self.told = True, False, False, []

    def show(self, names):
        state = service_units.parse_show(f"Id={names[0]}\nLoadState=loaded\nActiveState=inactive")[0]
        return [replace(state, active="active" if self.up else "inactive", job=self.job)]

    def systemctl(self, verb, *arguments):
        self.told.append(verb)
        if verb == "stop":
            self.up, self.job = False, False
            if self.slow:
                raise subprocess.TimeoutExpired("systemctl", 20)
        return subprocess.CompletedProcess([], 0, "", "")

    def start(self, names):
        self.told.append("start")
        self.up = True


@pytest.fixture
def units(tmp_path, monkeypatch):
    units = Units()
    for name in ("show", "systemctl", "start"):
        monkeypatch.setattr(service_units, name, getattr(units, name))
    monkeypatch.setattr(storage, "UNITS", tmp_path / "units")
    monkeypatch.setattr(storage, "RECOVERY_S", 0.0)
    monkeypatch.setattr(_read_only, "FOLDER", tmp_path / "read-only")
    monkeypatch.setattr(_process_markers, "MARKERS", tmp_path / "markers")
    return units


def flips(file, fault="f"):
    program = {"action": "bit_flip", "file": str(file), "bits": 1, "seed": 1, "unit": "etcd.service"}
    return storage.FAULT(Context("r", fault, program, 0, 0, True))


def recovered(fault):
    return asyncio.run(fault.recovered())


def test_a_unit_that_came_to_run_meanwhile_runs_again_afterwards(units, file):
    units.up = False
    fault = flips(file)
    undo = fault.undo()
    fault.apply()
    assert not units.up and not undo["unit_was_up"]
    units.up = True  # a fault that kept it down has ended
    fault.evidence()
    fault.revert(undo)
    assert units.up and recovered(fault) and units.told.count("stop") == 2
    units.up = False
    assert not recovered(fault)


def test_a_unit_that_ought_to_run_is_not_taken_for_one_that_does_not(units, file, tmp_path):
    """It waits for its start at a boot, another fault keeps it down, or another has made it fail."""
    units.up = False
    assert not flips(file).undo()["unit_was_up"]
    units.job = True
    assert flips(file).undo()["unit_was_up"]
    units.job = False
    marker = {"name": "p", "units": {"etcd.service": True}, "hold": True}
    (tmp_path / "markers").mkdir()
    write_json(tmp_path / "markers" / "p.json", marker)
    fault = flips(file)
    assert fault.undo()["unit_was_up"] and recovered(fault)
    (tmp_path / "markers" / "p.json").unlink()
    assert not recovered(fault)
    units.up = True
    first = flips(file)
    first.apply()
    units.up = False
    assert flips(file, "g").undo()["unit_was_up"]


def test_a_unit_that_does_not_stop_in_time_is_started_and_nothing_is_damaged(units, file):
    before, fault = file.read_bytes(), flips(file)
    assert fault.undo() == {
        "trace": fault.trace, "action": "bit_flip", "unit": "etcd.service", "unit_was_up": True
    }  # fmt: skip
    units.slow = True
    with pytest.raises(subprocess.TimeoutExpired):
        fault.apply()
    assert units.up and file.read_bytes() == before


def test_an_agent_that_dies_while_the_unit_is_stopped_has_it_started(units, file):
    """The journal alone knows of it: nothing was damaged yet."""
    undo = flips(file).undo()
    units.up = False
    storage.FAULT.revert(undo)
    assert units.up and "stop" not in units.told
