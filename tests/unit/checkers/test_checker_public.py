# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Public histories with known verdicts, all judged right."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import (
    check_linearizable,
)
from ansible_collections.foundation.testbed.tests.support.public_histories import (
    histories_folder,
    load_all,
    parse_etcd,
    parse_kv,
)


def test_every_public_history_is_judged_right() -> None:
    folder = histories_folder()
    if not (folder / "verdicts.json").exists():
        pytest.skip(f"no public histories at {folder}; set TESTBED_HISTORIES")
    wrong = []
    count = 0
    for one in load_all(folder):
        count += 1
        verdict = check_linearizable(one.operations, one.model, max_seconds=60).verdict
        if verdict != ("pass" if one.linearizable else "fail"):
            wrong.append((one.name, verdict))
    assert count > 0
    assert wrong == []


def test_a_register_log_is_parsed() -> None:
    lines = [
        "INFO  jepsen.util - 4\t:invoke\t:read\tnil",
        "INFO  jepsen.util - 1   :invoke :cas    [1 2]",
        "INFO  jepsen.util - 4\t:ok\t:read\tnil",
        "INFO  jepsen.util - 1   :fail   :cas    [1 2]",
        "INFO  jepsen.util - 1\t:invoke\t:write\t3",
        "INFO  jepsen.util - 1\t:info\t:write\t:timed-out",
        "INFO  jepsen.util - 1\t:invoke\t:write\t4",
    ]
    found = [(one.f, one.value, one.outcome, one.error, one.complete_ns) for one in parse_etcd(lines)]
    assert found == [
        ("read", None, "ok", None, 2),
        ("cas", (1, 2), "fail", "mismatch", 3),
        ("write", 3, "info", "timeout", 5),
        ("write", 4, "info", None, None),
    ]


def test_a_key_value_history_is_parsed() -> None:
    lines = [
        '{:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}',
        '{:process 2, :type :invoke, :f :get, :key "1", :value nil}',
        '{:process 2, :type :ok, :f :get, :key "1", :value ""}',
    ]
    found = [(one.f, one.key, one.value, one.outcome) for one in parse_kv(lines)]
    assert found == [("append", "0", "x 9 0 y", "info"), ("get", "1", "", "ok")]
