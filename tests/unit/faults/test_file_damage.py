# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which file is damaged, which bits flip, and how it comes back."""

from __future__ import annotations

import os

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.faults import _file_damage
from hypothesis import given
from hypothesis import strategies as st


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
