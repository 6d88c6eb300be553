# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a storage fault may be told, which bits it flips, and how a file comes back."""

from __future__ import annotations

import asyncio
import os
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
    _file_damage,
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


@pytest.fixture(autouse=True)
def _backups(tmp_path, monkeypatch):
    monkeypatch.setattr(_file_damage, "BACKUPS", tmp_path / "backups")


@pytest.fixture
def file(tmp_path):
    """A file of 300,000 bytes with a hole in it."""
    path = tmp_path / "data.log"
    path.write_bytes(random.Random(1).randbytes(1000))
    os.truncate(path, 299_000)
    with path.open("ab") as end:
        end.write(random.Random(2).randbytes(1000))
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18 + 7))
    return path


def damage(file, trace="t1", **program):
    program = {"file": str(file), **program}
    assert _file_damage.obstacles(program) == []
    return _file_damage.damage(program, trace, {})


def restore(meta):
    _file_damage.restore(meta)
    _file_damage.forget(meta["trace"])
    assert _file_damage.metas() == []


def facts(path):
    found = path.stat()
    return path.read_bytes(), found.st_ino, found.st_mode, found.st_mtime_ns


@pytest.mark.parametrize(
    "program",
    [
        {"action": "truncate", "size": 0},
        {"action": "truncate", "size": 5000},
        {"action": "truncate", "bytes": 1},
        {"action": "truncate", "bytes": 10**9},
        {"action": "bit_flip", "bits": 1, "seed": 1},
        {"action": "bit_flip", "bits": 300, "seed": 2},
    ],
)
def test_a_file_comes_back_byte_for_byte(file, program):
    before = facts(file)
    meta = damage(file, **program)
    assert facts(file)[0] != before[0] and facts(file)[1:] == before[1:]
    assert _file_damage.look(meta)["present"]
    _file_damage.restore(meta)
    assert facts(file) == before
    restore(meta)
    assert facts(file) == before


def test_what_was_appended_since_goes_or_stays(file):
    before = file.read_bytes()
    for mode in ("always", "unwritten"):
        meta = damage(file, action="truncate", size=100, restore=mode)
        with file.open("ab") as end:
            end.write(b"new")
        restore(meta)
        assert file.read_bytes() == (before if mode == "always" else before[:100] + b"new")


def test_bits_flip_back_around_what_was_written_since(file):
    before = file.read_bytes()
    meta = damage(file, action="bit_flip", bits=50, seed=3)
    offset = meta["flips"][0][0]
    written = bytes([meta["flips"][0][1] ^ meta["flips"][0][2] ^ 0xFF ^ before[offset]])
    with file.open("r+b") as other:
        os.pwrite(other.fileno(), written, offset)
        other.seek(0, os.SEEK_END)
        other.write(b"new")
    restore(meta)
    held = meta["flips"][0][2] == written[0]
    assert held or file.read_bytes() == before[:offset] + written + before[offset + 1 :] + b"new"


def test_a_file_that_was_replaced_is_left(file):
    meta = damage(file, action="truncate", size=0)
    file.with_suffix(".new").write_bytes(b"whole")
    file.with_suffix(".new").replace(file)
    assert _file_damage.look(meta) == {"present": False, "replaced": True}
    restore(meta)
    assert file.read_bytes() == b"whole"


def test_a_file_that_was_removed_stays_away(file):
    meta = damage(file, action="bit_flip", bits=1, seed=1)
    file.unlink()
    assert not _file_damage.look(meta)["present"]
    restore(meta)
    assert not file.exists()


def test_somebody_who_mends_it_shows(file):
    before = file.read_bytes()
    meta = damage(file, action="truncate", bytes=10)
    file.write_bytes(before)
    assert not _file_damage.look(meta)["present"]


def test_a_broken_backup_is_not_brought_back(file):
    meta = damage(file, action="truncate", size=0)
    (_file_damage.BACKUPS / "t1" / "copy").write_bytes(b"x")
    with pytest.raises(RuntimeError, match="its checksum differs"):
        _file_damage.restore(meta)


def test_flips_of_one_file_end_in_any_order(file):
    before = facts(file)
    first = damage(file, "t1", action="bit_flip", bits=20, seed=1)
    second = damage(file, "t2", action="bit_flip", bits=20, seed=1)
    assert not {flip[0] for flip in first["flips"]} & {flip[0] for flip in second["flips"]}
    _file_damage.restore(first)
    assert _file_damage.look(second)["present"] and not _file_damage.look(first)["present"]
    _file_damage.restore(second)
    assert facts(file) == before


@pytest.mark.parametrize(
    ("first", "second"), [("truncate", "truncate"), ("truncate", "bit_flip"), ("bit_flip", "truncate")]
)
def test_who_was_asked_before_another_cut_the_file_short_is_refused_when_it_begins(file, first, second):
    """Both had been able to: the second's backup would be of a file that is cut already."""
    before = file.read_bytes()
    told = {"truncate": {"size": 100}, "bit_flip": {"bits": 4, "seed": 1}}
    meta = damage(file, "t1", action=first, **told[first])
    with pytest.raises(RuntimeError, match="is damaged by t1 already, and one of both cuts it short"):
        _file_damage.damage({"file": str(file), "action": second, **told[second]}, "t2", {})
    assert _file_damage.read_meta("t2") is None
    _file_damage.restore(meta)
    assert file.read_bytes() == before


def test_a_file_is_cut_by_one_fault_only(file):
    damage(file, action="bit_flip", bits=1, seed=1)
    reasons = _file_damage.obstacles({"action": "truncate", "file": str(file), "size": 0})
    assert reasons and "is damaged by t1 already" in reasons[0]


@given(st.integers(1, 400), st.integers(1, 200), st.integers(0, 2**48), st.sets(st.integers(0, 50)))
def test_as_many_bits_as_asked_and_the_same_for_the_same_seed(size, bits, seed, taken):
    flips = _file_damage.draw_flips(size, bits, seed, taken)
    assert flips == _file_damage.draw_flips(size, bits, seed, taken)
    assert all(
        0 <= offset < size and 0 < mask < 256 and offset not in taken for offset, mask in flips.items()
    )
    count = sum(bin(mask).count("1") for mask in flips.values())
    assert count <= bits
    if bits <= size and not taken:
        assert count == bits


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_cut(size, amount):
    assert 0 <= _file_damage.cut_to(size, {"size": amount}) <= size
    assert _file_damage.cut_to(size, {"bytes": amount}) == max(size - amount, 0)


def test_which_file(tmp_path, file):
    assert _file_damage.find_file(f"{tmp_path}/*.log") == file
    (tmp_path / "other.log").symlink_to(file)
    assert _file_damage.find_file(f"{tmp_path}/other.log") == file
    for pattern, words in (("*.log", "matches 2 files"), ("*.wal", "matches no file")):
        with pytest.raises(ValueError, match=words):
            _file_damage.find_file(f"{tmp_path}/{pattern}")
    with pytest.raises(ValueError, match="is not a regular file"):
        _file_damage.find_file(str(tmp_path))


def test_obstacles(file, tmp_path):
    (tmp_path / "empty").touch()
    for name, program, words in [
        ("empty", {"action": "bit_flip", "bits": 1, "seed": 1}, "is empty"),
        ("data.log", {"action": "truncate", "size": 10**6}, "nothing would be cut"),
        ("none", {"action": "truncate", "size": 1}, "matches no file"),
    ]:
        reasons = _file_damage.obstacles({"file": str(tmp_path / name), **program})
        assert len(reasons) == 1 and words in reasons[0]


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
    before, fault = facts(file), flips(file)
    assert fault.undo() == {
        "trace": fault.trace, "action": "bit_flip", "unit": "etcd.service", "unit_was_up": True
    }  # fmt: skip
    units.slow = True
    with pytest.raises(subprocess.TimeoutExpired):
        fault.apply()
    assert units.up and facts(file) == before


def test_an_agent_that_dies_while_the_unit_is_stopped_has_it_started(units, file):
    """The journal alone knows of it: nothing was damaged yet."""
    undo = flips(file).undo()
    units.up = False
    storage.FAULT.revert(undo)
    assert units.up and "stop" not in units.told
