# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run that ends before its time: by Ctrl-C in a terminal, by a signal, by its own condition."""

from __future__ import annotations

import json
import os
import pty
import signal
import termios
import threading
import time

import pytest
from support import HERE, ROOT, Lab, record, wait_until

pytestmark = pytest.mark.lab
HOSTS = ("n1", "n2", "n3", "observer1")
CTRL_C = b"\x03"


class Terminal:
    """A run in a terminal, as a user sees it."""

    def __init__(self, lab: Lab, scenario: str):
        before = set(lab.runs_dir.glob("2*"))
        command = lab.command("run", "-e", f"scenario={HERE / 'scenarios' / scenario}.yml")
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            environment = {key: value for key, value in os.environ.items() if key != "CI"}
            os.chdir(ROOT)
            os.execvpe(command[0], command, {**environment, "TERM": "xterm"})
        termios.tcsetwinsize(self.file, (40, 140))
        self.shown = b""
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()

        def new() -> list:
            return [folder for folder in lab.runs_dir.glob("2*") if folder not in before]

        (self.folder,) = wait_until(new, 120, "the folder of the run")

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.file, 65536)
            except OSError:  # the other side is closed
                return
            self.shown += data

    def wait_for(self, text: str, timeout_s: float = 120) -> None:
        wait_until(lambda: text.encode() in self.shown, timeout_s, f"{text!r} on the terminal")

    def press(self, key: bytes) -> None:
        os.write(self.file, key)

    def finish(self) -> int:
        _pid, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def nothing_left(lab: Lab) -> None:
    """No run goes on, no fault is left, on any host."""
    for host in HOSTS:
        left = json.loads(lab.on(host, "python3 /usr/local/lib/foundation-testbed/agent.pyz to-heal"))
        assert not any(left.values()), (host, left)


def test_ctrl_c_in_mid_cut_heals_at_once_judges_and_is_unknown(whole):
    terminal = Terminal(whole, "to_interrupt")
    terminal.wait_for("answers nothing, partition (split)")  # the live view tells the cut
    assert whole.tables("n3")
    terminal.press(CTRL_C)
    pressed_at = time.monotonic()
    wait_until(lambda: not whole.tables("n3"), 20, "the cut gone")
    status = terminal.finish()
    assert time.monotonic() - pressed_at < 40, "it waited for the plan's end"
    results = record(terminal.folder, "results.json")
    assert (status, results["verdict"]) == (11, "unknown"), terminal.shown[-3000:]
    assert results["aborted"].startswith("The run was interrupted by the user after ")
    assert results["reasons"] == [results["aborted"]]
    assert results["load"]["answered"] > 0 and results["checks"][0]["verdict"] == "pass"
    assert (terminal.folder / "report.html").exists() and (terminal.folder / "logs" / "n3").is_dir()
    assert b"Ctrl-C again stops at once" in terminal.shown
    nothing_left(whole)
    assert whole.playbook("verify").status == 0


def test_ctrl_c_before_the_start_begins_nothing(whole):
    terminal = Terminal(whole, "to_interrupt")
    terminal.wait_for("PLAY [Stage every node]")
    terminal.press(CTRL_C)
    status = terminal.finish()
    results = record(terminal.folder, "results.json")
    assert (status, results["verdict"]) == (11, "unknown"), terminal.shown[-3000:]
    assert "The run was interrupted by the user before it began." in results["reasons"]
    nothing_left(whole)


def test_a_second_ctrl_c_stops_at_once_and_says_what_is_left_to_do(whole):
    terminal = Terminal(whole, "to_interrupt")
    terminal.wait_for("answers nothing, partition (split)")
    terminal.press(CTRL_C)
    terminal.wait_for("Ctrl-C again stops at once", 10)
    terminal.press(CTRL_C)
    assert terminal.finish() == 99, terminal.shown[-6000:].decode(errors="replace")
    assert b"playbooks/heal.yml" in terminal.shown
    assert f"-e run={terminal.folder.name}".encode() in terminal.shown
    assert whole.playbook("heal").status == 0
    nothing_left(whole)
    outcome = whole.playbook("report", "-e", f"run={terminal.folder.name}")
    assert outcome.status == 11, outcome.output[-2000:]


def test_a_signal_to_the_playbook_does_as_ctrl_c(whole):
    controller = whole.begin("to_interrupt")
    controller.wait_for(5)
    controller.process.send_signal(signal.SIGINT)
    outcome = controller.finish()
    results = record(controller.folder, "results.json")
    assert (outcome.status, results["verdict"]) == (11, "unknown"), outcome.output[-3000:]
    assert "\x1b[J" not in outcome.output  # lines, where there is no terminal
    nothing_left(whole)


def test_a_run_ends_by_its_own_condition(whole):
    outcome = whole.run("own_condition")
    results = record(whole.newest(), "results.json")
    assert (outcome.status, results["verdict"]) == (11, "unknown"), outcome.output[-3000:]
    assert "aborted by its own condition" in results["aborted"]
    assert "unhealthy_nodes above 0" in results["aborted"]
    assert record(whole.newest())["stopped"]["at_s"] < 30
    nothing_left(whole)


def test_a_steady_state_that_does_not_hold_keeps_a_run_from_starting(whole):
    outcome = whole.run("unsteady")
    folder = whole.newest()
    results = record(folder, "results.json")
    assert (outcome.status, results["verdict"]) == (13, "unknown"), outcome.output[-3000:]
    assert any("term was" in reason and "n1, n2, n3" in reason for reason in results["reasons"])
    assert [entry["held"] for entry in results["steady_state"]["before"]] == [False]
    assert not (folder / "ledger.jsonl").exists()
    nothing_left(whole)
