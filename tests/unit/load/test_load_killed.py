# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A generator that is ended from outside leaves a history that can be judged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from load_support import FAKE, Records, make_program

MAIN = "ansible_collections.foundation.testbed.plugins.module_utils.load.main"
WAIT_S = 30.0


@pytest.fixture
def generator(tmp_path):
    """Start a generator whose operations never end, wait until some are out, end it with a signal."""
    slow = {"delay_s": 3600.0}
    clients = [
        {"name": "failover", "pinned": False, "endpoints": {"n1": "192.0.2.1"}, "weight": 1, "options": slow}
    ]
    program = make_program(duration_s=600.0, operation_timeout_s=600.0, clients=clients)
    (tmp_path / "program.json").write_text(json.dumps(program))
    command = [sys.executable, "-m", MAIN, str(tmp_path / "program.json"), str(time.time_ns())]
    process = subprocess.Popen([*command, str(tmp_path), str(FAKE)], env={**os.environ})
    history = tmp_path / "history.observer1-0.jsonl"

    def end(number: int) -> tuple[int, Records]:
        deadline = time.monotonic() + WAIT_S
        while not (history.exists() and history.read_text().count("\n") > 5):
            assert time.monotonic() < deadline, "no invocation reached the history"
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        return process.wait(WAIT_S), Records(tmp_path)

    yield end
    process.kill()
    process.wait()


def test_sigkill_leaves_open_invocations_and_no_summary(generator):
    status, records = generator(signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert len(records.open_ops()) >= 4
    assert records.summary is None


def test_sigterm_leaves_open_invocations_and_a_summary(generator):
    status, records = generator(signal.SIGTERM)
    assert status == 1
    summary = records.summary
    assert summary["finished"] is False
    assert summary["indeterminate"] == summary["sent"] == len(records.open_ops()) >= 4
    assert summary["final_read"]["keys"] == 0
