# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small files that others remove or cut short while they are read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import undo
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import read_all, write_json
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _hosts_files,
    _press_unit,
    _process_markers,
    _read_only,
    clock,
)


def vanishing(path):
    """A name that a listing has, and behind which there is nothing any more when it is read."""
    path.symlink_to(path.with_name("gone"))


def test_what_vanishes_or_was_never_whole_is_left_out(tmp_path):
    for name in ("a", "c"):
        write_json(tmp_path / f"{name}.json", {"name": name})
    (tmp_path / "b.json").write_text("")
    vanishing(tmp_path / "d.json")
    assert [each["name"] for each in read_all(tmp_path)] == ["a", "c"]
    assert [each["name"] for each in read_all(tmp_path, "c*.json")] == ["c"]
    assert read_all(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("module", "folder", "read", "entry"),
    [
        (_hosts_files, "FOLDER", "records", {"since_ns": 1}),
        (clock, "FOLDER", "_records", {"trace": "t"}),
        (_read_only, "FOLDER", "records", {"trace": "t"}),
        (_press_unit, "MARKERS", "records", {"name": "n"}),
        (_process_markers, "MARKERS", "others", {"name": "n"}),
    ],
)
def test_a_fault_that_ends_meanwhile_disturbs_no_other(tmp_path, monkeypatch, module, folder, read, entry):
    monkeypatch.setattr(module, folder, tmp_path)
    prefix = getattr(module, "TRACE_PREFIX", "")
    write_json(tmp_path / f"{prefix}a.json", entry)
    vanishing(tmp_path / f"{prefix}b.json")
    arguments = ["other"] if read == "others" else []
    assert getattr(module, read)(*arguments) == [entry]


def test_what_is_mounted_is_no_record_of_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(_read_only, "FOLDER", tmp_path)
    monkeypatch.setattr(_read_only, "MOUNTED", tmp_path / "mounted.json")
    write_json(tmp_path / "mounted.json", [{"path": "/srv", "under": None, "number": 1}])
    write_json(tmp_path / "t.json", {"trace": "t"})
    assert _read_only.records() == [{"trace": "t"}]
    assert _read_only.mounted()[0]["path"] == "/srv"


def test_the_journal_is_read_while_others_remove_from_it(tmp_path):
    journal = undo.UndoJournal(tmp_path / "undo", tmp_path / "volatile")
    (tmp_path / "volatile").mkdir()
    for run in ("r", "r.x", "r2"):
        write_json(tmp_path / "volatile" / f"{run}.f.json", {"run": run, "fault": "f"})
    vanishing(tmp_path / "volatile" / "r.g.json")
    assert [entry["run"] for entry in journal.entries()] == ["r", "r.x", "r2"]
    assert [entry["run"] for entry in journal.entries("r")] == ["r"]


def test_a_durable_file_is_on_the_disk_with_its_name(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def noted(handle):
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    write_json(tmp_path / "a.json", {"a": 1}, durable=True)
    assert synced == [str(tmp_path / ".a.json.new"), str(tmp_path)]
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
