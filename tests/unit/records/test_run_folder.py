# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run's folder: made in one piece, merged without losing a whole line, found by name."""

from __future__ import annotations

import gzip
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils import run_folder
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import FIELDS, read_history
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
RECORDS = st.fixed_dictionaries({"t_s": st.integers(-9, 9) | st.floats(-9, 9), "extra": VALUES})
PARTS = st.lists(st.tuples(st.lists(RECORDS, max_size=5), st.integers(0, 40)), min_size=1, max_size=4)


def part(folder, node):
    path = folder / "nodes" / node
    path.mkdir(parents=True, exist_ok=True)
    return path


@given(parts=PARTS)
def test_a_merge_loses_no_whole_line_and_takes_no_half(tmp_path_factory, parts):
    """Each part may be cut anywhere in its last line; a nested closing brace is no end of a line."""
    folder = tmp_path_factory.mktemp("run")
    whole = []
    for i, (records, cut) in enumerate(parts):
        text = "".join(json.dumps(record) + "\n" for record in records)
        half = json.dumps({"t_s": 0, "packets": {"in": 1}, "more": {"a": 2}})[:cut]
        for name in ("ledger.jsonl", "samples.jsonl"):
            (part(folder, f"n{i}") / name).write_text(text + half)
        whole += records
    run_folder.merge(folder)
    for name in ("ledger.jsonl", "samples.jsonl"):
        merged = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        assert sorted(map(json.dumps, merged)) == sorted(map(json.dumps, whole))
        assert [entry["t_s"] for entry in merged] == sorted(entry["t_s"] for entry in whole)


@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=4), cut=st.integers(0, 120))
def test_a_generator_that_was_killed_spoils_no_others_history(tmp_path_factory, counts, cut):
    folder = tmp_path_factory.mktemp("run")
    for i, count in enumerate(counts):
        name = f"g{i}"
        header = {"format": 1, "generator": name, "start_wall_ns": 0, "fields": list(FIELDS)}
        rest = [0, "n1", "read", "k", None, 1, 1, "n1", None, "main"]
        rows = [["invoke", name, op, *rest] for op in range(count)]
        text = "".join(json.dumps(row) + "\n" for row in [header, *rows])
        half = json.dumps(["invoke", name, count, *rest])
        (part(folder, f"o{i}") / f"history.{name}.jsonl").write_text(text + half[: min(cut, len(half) - 1)])
    run_folder.merge(folder)
    assert len(read_history(folder / "history.jsonl.gz")) == sum(counts)


@pytest.mark.parametrize("half", ["", "{", '{"generator": "b"', "\x00"])
def test_what_a_killed_generator_says_of_itself_is_left_out(tmp_path, half):
    """Half a load file ended the merge, and with it the verdict."""
    (part(tmp_path, "o1") / "load.a.json").write_text('{"generator": "a"}')
    (part(tmp_path, "o2") / "load.b.json").write_text(half)
    run_folder.merge(tmp_path)
    assert json.loads((tmp_path / "load.json").read_text()) == [{"generator": "a"}]


def test_a_run_that_left_nothing_is_merged_to_nothing(tmp_path):
    run_folder.merge(tmp_path)
    assert gzip.decompress((tmp_path / "history.jsonl.gz").read_bytes()) == b""
    assert json.loads((tmp_path / "load.json").read_text()) == []
    assert (tmp_path / "ledger.jsonl").read_text() == (tmp_path / "samples.jsonl").read_text() == ""


def test_a_run_is_named_by_its_utc_time():
    there = datetime(2026, 11, 24, 0, 15, tzinfo=timezone(timedelta(hours=1)))
    assert run_folder.run_name("split", there) == "20261123T231500Z-split"


def test_a_new_run_is_the_latest_and_an_older_one_can_still_be_found(tmp_path):
    scenario = tmp_path / "split.yml"
    scenario.write_text("name: x\n")
    first = run_folder.create(tmp_path / "runs", scenario, "{}\n", {"seed": 1})
    older = shutil.move(first, first.with_name("20200101T000000Z-split"))
    second = run_folder.create(tmp_path / "runs", scenario, "{}\n", {"seed": 2})
    assert run_folder.find_run(tmp_path / "runs", "latest") == second
    assert run_folder.find_run(tmp_path / "runs", older.name) == older
    assert run_folder.find_run(tmp_path / "elsewhere", str(older)) == older
    assert json.loads((second / "run.json").read_text()) == {"run": second.name, "seed": 2, "steps": []}
    assert (second / "scenario.yml").read_text() == "name: x\n"
    assert not list((tmp_path / "runs").glob(".*"))


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "run_name", lambda scenario, now: f"20261123T231500Z-{scenario}")
    scenario = tmp_path / "split.yml"
    scenario.write_text("name: x\n")
    with ThreadPoolExecutor(8) as pool:
        folders = list(
            pool.map(
                lambda seed: run_folder.create(tmp_path / "runs", scenario, "{}\n", {"seed": seed}), range(24)
            )
        )
    endings = ["", *(f"-{number}" for number in range(2, 25))]
    assert sorted(folder.name for folder in folders) == sorted(f"20261123T231500Z-split{e}" for e in endings)
    for seed, folder in enumerate(folders):
        run = json.loads((folder / "run.json").read_text())
        assert (run["run"], run["seed"]) == (folder.name, seed)
    assert run_folder.find_run(tmp_path / "runs", "latest") in folders
    assert not list((tmp_path / "runs").glob(".*"))


def test_a_step_ends_where_the_next_begins(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"began_wall_ns": 10**18, "steps": []}))
    for name in ("stage", "run", None):
        run_folder.mark_step(tmp_path, name)
    stage, run = json.loads((tmp_path / "run.json").read_text())["steps"]
    assert (stage["name"], run["name"]) == ("stage", "run")
    assert stage["started_s"] <= stage["ended_s"] == run["started_s"] <= run["ended_s"]


def test_an_update_keeps_what_it_is_not_told(tmp_path):
    (tmp_path / "run.json").write_text('{"a": 1, "b": 2}')
    assert run_folder.update(tmp_path, b=3) == {"a": 1, "b": 3}
    assert json.loads((tmp_path / "run.json").read_text()) == {"a": 1, "b": 3}
