# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a failed check says: the key, the operations, the sentence, the record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import (
    check_linearizable,
)
from ansible_collections.foundation.testbed.tests.support.register_histories import history

CASES = {
    "stale read": (
        ["n1 write 171 1-2", "n2 write 188 16-16.95", "n5 read 171 17-17.203"],
        "n5 read 171 at 17.203 s although 188 was written by 16.950 s and nothing wrote 171 again",
    ),
    "lost write": (
        ["n1 write 171 1-2", "n5 read - 3-4"],
        "n5 found nothing at 4.000 s although 171 was written by 2.000 s",
    ),
    "reads turn back": (
        ["n1 write 5 0-1", "n1 write 6 2-9", "n2 read 6 3-4", "n3 read 5 5-6"],
        "n3 read 5 at 6.000 s although n2 read 6 by 4.000 s and nothing wrote 5 again",
    ),
    "cas on an old value": (
        ["n1 write 5 0-1", "n1 write 6 2-3", "n2 cas 5:7 4-5"],
        "n2 compared with and replaced 5 at 5.000 s although 6 was written by 3.000 s "
        "and nothing wrote 5 again",
    ),
    "never written": (["n2 read 5 0-1"], "n2 read 5 at 1.000 s although nothing wrote it"),
    "from the future": (
        ["n2 read 5 0-1", "n1 write 5 2-3"],
        "n2 read 5 at 1.000 s before n1 began to write it at 2.000 s",
    ),
    "taken twice": (
        ["n1 write 5 0-1", "n2 cas 5:6 2-8", "n3 cas 5:7 2-9"],
        "n2 and n3 both replaced 5, by 6 and by 7 at 8.000 s and 9.000 s, although it was there only once",
    ),
    "wrong mismatch": (
        ["n1 write 5 0-1", "n2 cas 5:6 2-3 mismatch"],
        "n2 was told at 3.000 s that the key did not hold 5 although 5 was written by 1.000 s "
        "and nothing changed it",
    ),
}
NOISE = ["n4 write 900 0-0.5", "n4 read 171 2.1-2.2", "n4 write 901 30-31", "n4 read 901 32-33"]


@pytest.mark.parametrize(("lines", "sentence"), CASES.values(), ids=CASES)
def test_the_sentence_names_what_happened(lines: list[str], sentence: str) -> None:
    anomaly = _anomaly(lines)
    assert anomaly["message"] == f"key r0-4: {sentence}"
    assert len(anomaly["operations"]) <= 3


def test_only_the_operations_that_matter_are_named() -> None:
    anomaly = _anomaly([*CASES["stale read"][0], *NOISE])
    assert [one["value"] for one in anomaly["operations"]] == [171, 188, 171]
    assert anomaly["window_s"] == [1.0, 17.203]


def test_without_a_pattern_the_smallest_set_is_named() -> None:
    # Values seen to go to and fro, all while their writers were under way.
    lines = [
        "n1 write 5 0-9",
        "n2 write 6 0-9",
        "n3 cas 5:6 0-9",
        "n4 read 5 3-4",
        "n4 read 6 5-6",
        "n4 read 5 7-8",
    ]
    anomaly = _anomaly([*lines, "n7 write 8 20-21", "n7 read 8 22-23"])
    assert "no order of these" in anomaly["message"]
    assert {one["value"] for one in anomaly["operations"] if one["f"] == "read"} <= {5, 6}
    assert max(anomaly["window_s"]) <= 9.0


def test_the_record_has_the_fields_of_the_contract() -> None:
    record = check_linearizable(history("n1 write 5 0-1 info", "n1 write 6 2-3", "n2 read 7 4-5")).as_record()
    assert json.loads(json.dumps(record)) == record
    assert set(record) >= {"name", "verdict", "anomalies", "detail"}
    assert record["name"] == "linearizable-register"
    assert set(record["detail"]) == {"keys", "operations", "undecided", "failed_keys", "seconds"}
    anomaly = record["anomalies"][0]
    assert set(anomaly) == {"key", "message", "operations", "window_s", "faults"}
    assert set(anomaly["operations"][0]) == {
        "op", "process", "client", "node", "f", "value", "invoke_s", "complete_s", "outcome",
    }  # fmt: skip


def test_an_open_operation_has_no_end_in_the_record() -> None:
    anomaly = _anomaly(["n1 read 5 0-1", "n1 write 5 2-3 info"])
    assert anomaly["operations"][1]["complete_s"] is None
    assert anomaly["operations"][1]["outcome"] == "info"


def _anomaly(lines: list[str]) -> dict[str, Any]:
    result = check_linearizable(history(*lines))
    assert result.verdict == "fail"
    assert result.reason == result.anomalies[0]["message"]
    return result.anomalies[0]
