# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading the history of a run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import (
    FIELDS,
    OUTCOMES,
    HistoryError,
    Operation,
    Outcome,
    read_history,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def header(generator: str = "g0", fields: tuple[str, ...] = FIELDS) -> str:
    return json.dumps({"format": 1, "generator": generator, "start_wall_ns": 0, "fields": list(fields)})


def line(kind: str, op: int, f: str = "write", value: Any = 5, time_ns: int = 10, **other: Any) -> str:
    known = {
        "type": kind, "generator": "g0", "op": op, "process": 1, "client": "failover", "f": f, "key": "r0-1",
        "value": value, "intended_ns": 5, "time_ns": time_ns, "node": "n1", "error": None, "phase": "main",
    }  # fmt: skip
    known.update(other)
    return json.dumps([known[field] for field in FIELDS])


def read(folder: Path, *lines: str) -> list[Operation]:
    path = folder / "history.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_history(path)


def lines_of(operation: Operation) -> list[str]:
    """Write an operation as a generator would."""
    common = {
        "process": operation.process, "client": operation.client, "key": operation.key,
        "node": operation.node, "intended_ns": operation.intended_ns, "phase": operation.phase,
        "generator": operation.generator,
    }  # fmt: skip
    value = list(operation.value) if operation.f == "cas" else operation.value
    asked = None if operation.f == "read" else value
    end = {"error": operation.error, **common}
    if operation.outcome == "drop":
        return [line("drop", operation.op, operation.f, asked, operation.invoke_ns, **end)]
    result = [line("invoke", operation.op, operation.f, asked, operation.invoke_ns, **common)]
    if operation.complete_ns is not None:
        result.append(line(operation.outcome, operation.op, operation.f, value, operation.complete_ns, **end))
    return result


@st.composite
def operations(draw: st.DrawFn, generator: str, op: int) -> Operation:
    f = draw(st.sampled_from(["read", "write", "cas"]))
    outcome: Outcome = draw(st.sampled_from(OUTCOMES))
    number = st.none() | st.integers(0, 10**6)
    value: Any = draw(st.tuples(number, number)) if f == "cas" else draw(number)
    start = draw(st.integers(0, 10**11))
    end: int | None = start + draw(st.integers(0, 10**10))
    error = None if outcome == "ok" else draw(st.sampled_from(["timeout", "mismatch", "refused"]))
    if outcome == "drop":
        end = start
    elif outcome == "info" and draw(st.booleans()):
        end, error = None, None
    if f == "read" and outcome != "ok":
        value = None
    return Operation(
        generator, op, draw(st.integers(0, 99)), draw(st.sampled_from(["n1", "failover"])), f,
        draw(st.sampled_from(["r0-1", "r1-1"])), value, start, end, start,
        draw(st.sampled_from(["n1", "n2"])), outcome, error, draw(st.sampled_from(["main", "final"])),
    )  # fmt: skip


@st.composite
def parts(draw: st.DrawFn) -> dict[str, list[Operation]]:
    sizes = {generator: draw(st.integers(0, 6)) for generator in ("g0", "g1", "g2")}
    return {name: [draw(operations(name, op)) for op in range(size)] for name, size in sizes.items()}


def text_of(generator: str, part: list[Operation]) -> str:
    rows = [row for operation in part for row in lines_of(operation)]
    return "".join(row + "\n" for row in [header(generator), *rows])


def in_order(found: list[Operation]) -> list[Operation]:
    return sorted(found, key=lambda one: (one.generator, one.op))


@SETTINGS
@given(parts(), st.booleans())
def test_round_trip(tmp_path: Path, whole: dict[str, list[Operation]], zipped: bool) -> None:
    path = tmp_path / "history"
    data = [text_of(name, part).encode() for name, part in whole.items()]
    path.write_bytes(b"".join(gzip.compress(one) for one in data) if zipped else b"".join(data))
    found = read_history(path)
    assert in_order(found) == [operation for part in whole.values() for operation in part]
    assert [one.invoke_ns for one in found] == sorted(one.invoke_ns for one in found)


@SETTINGS
@given(parts(), st.data())
def test_a_part_cut_off_anywhere_keeps_its_whole_lines(
    tmp_path: Path, whole: dict[str, list[Operation]], data: st.DataObject
) -> None:
    texts = {name: text_of(name, part) for name, part in whole.items()}
    first = texts["g0"][: data.draw(st.integers(0, len(texts["g0"])), label="cut")]
    path = tmp_path / "history.jsonl"
    path.write_text(first + texts["g1"] + texts["g2"], encoding="utf-8")
    found = read_history(path)
    assert in_order([one for one in found if one.generator != "g0"]) == whole["g1"] + whole["g2"]
    complete = first.count("\n")
    for one in (one for one in found if one.generator == "g0"):
        assert one in whole["g0"] or one.outcome == "info"
    assert sum(one.generator == "g0" for one in found) <= max(0, complete)


def test_a_gzip_stream_cut_off_ends_where_it_was_cut(tmp_path: Path) -> None:
    rows = [header(), *(line(kind, op, time_ns=op) for op in range(2000) for kind in ("invoke", "ok"))]
    data = gzip.compress("\n".join(rows).encode())
    path = tmp_path / "history.jsonl.gz"
    path.write_bytes(data[: len(data) * 3 // 4])
    assert 0 < len(read_history(path)) < 2000


def test_an_invocation_without_completion_is_indeterminate(tmp_path: Path) -> None:
    (one,) = read(tmp_path, header(), line("invoke", 1))
    assert (one.outcome, one.complete_ns, one.value, one.error) == ("info", None, 5, None)


def test_a_read_has_the_value_that_was_read_and_the_node_that_answered(tmp_path: Path) -> None:
    (one,) = read(
        tmp_path,
        header(),
        line("invoke", 1, "read", None),
        line("ok", 1, "read", 7, 20, node="n3", client="x"),
    )
    assert (one.value, one.node, one.invoke_ns, one.complete_ns, one.intended_ns) == (7, "n3", 10, 20, 5)


def test_a_drop_has_no_invocation(tmp_path: Path) -> None:
    (one,) = read(tmp_path, header(), line("drop", 1, error="late"))
    assert (one.outcome, one.error, one.invoke_ns) == ("drop", "late", 10)


def test_the_header_gives_the_order_of_fields(tmp_path: Path) -> None:
    fields = (*reversed(FIELDS), "more")
    row = json.dumps([*reversed(json.loads(line("invoke", 1))), "unknown"])
    (one,) = read(tmp_path, header(fields=fields), row)
    assert (one.key, one.value) == ("r0-1", 5)


BROKEN = {
    "comes before any header": ([line("invoke", 1)], 1),
    "is not JSON": ([header(), '["invoke", "g0', line("invoke", 1)], 2),
    "is not an array of 13 fields": ([header(), '["ok"]'], 2),
    "has type 'done'": ([header(), line("done", 1)], 2),
    "which is not under way": ([header(), line("ok", 1)], 2),
    "a second time": ([header(), line("invoke", 1), line("invoke", 1)], 3),
    "needs whole numbers": ([header(), line("invoke", 1, intended_ns=None)], 2),
    "needs strings": ([header(), line("invoke", 1, key=None)], 2),
    "it needs [expected, new]": ([header(), line("invoke", 1, "cas", 5)], 2),
    "only format 1 is known": (['{"format": 2}'], 1),
    "a header whose fields are": (['{"format": 1, "fields": ["type"]}'], 1),
}


@pytest.mark.parametrize("what", BROKEN)
def test_an_error_names_file_line_and_fault(tmp_path: Path, what: str) -> None:
    lines, number = BROKEN[what]
    with pytest.raises(HistoryError) as caught:
        read(tmp_path, *lines)
    assert f"history.jsonl, line {number}: " in str(caught.value)
    assert what in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_of_the_history(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="cannot be read"):
        read_history(tmp_path / "none.jsonl.gz")
