# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a run ends before its time: its own conditions, the user's wish, and what is shown meanwhile."""

from __future__ import annotations

import re
import signal
from types import SimpleNamespace

import pytest
from ansible_collections.foundation.testbed.plugins.callback import live
from ansible_collections.foundation.testbed.plugins.plugin_utils import live_view, main_process
from ansible_collections.foundation.testbed.plugins.plugin_utils.abort import abort_reason, combined
from ansible_collections.foundation.testbed.plugins.plugin_utils.watching import Board, Watch
from hypothesis import given
from hypothesis import strategies as st

PLAN = {
    "duration_s": 40.0, "nodes": [{"name": "n1"}, {"name": "n2"}], "load": [{"rate_per_s": 100.0}],
    "faults": [{
        "id": "cut", "type": "partition", "start_s": 10, "end_s": 20, "targets": ["n2"], "nodes": {},
        "params": {"groups": {"a": ["n1"], "b": ["n2"]}},
    }],
}  # fmt: skip


def generator(t_s, answered=0, unanswered=0, phase="main", **nodes):
    return {
        "t_s": t_s, "sent": answered + unanswered, "answered": answered, "dropped": 0, "in_flight": 0,
        "ops_per_s": 0, "phase": phase,
        "nodes": {name: {"asked": asked, "answered": done} for name, (asked, done) in nodes.items()},
    }  # fmt: skip


def samples(steps, each_s=1.0):
    """Samples a second apart, from what was answered and what was not in each second."""
    found, answered, unanswered = [combined([generator(0.0)])], 0, 0
    for i, (more, without) in enumerate(steps, 1):
        answered, unanswered = answered + more, unanswered + without
        found.append(combined([generator(i * each_s, answered, unanswered)]))
    return found


ERRORS = {"measure": "error_rate", "above": 0.5, "for_s": 3.0}
SLOW = {"measure": "throughput", "below": 10, "for_s": 2.0}


@pytest.mark.parametrize(
    ("condition", "steps", "aborts"),
    [
        (ERRORS, [(1, 9)] * 3, True),
        (ERRORS, [(1, 9)] * 2, False),  # not yet so long
        (ERRORS, [(1, 9), (9, 1), (0, 90)], False),  # much in all, but not all the time
        (ERRORS, [(5, 5)] * 9, False),  # at the bound is not beyond it
        (ERRORS, [(1, 9), (0, 0), (1, 9)], True),  # a second in which nothing ended says nothing
        (ERRORS, [(0, 0)] * 9, False),
        (SLOW, [(50, 0), (9, 0), (0, 99)], True),
        (SLOW, [(0, 0), (50, 0), (0, 0)], False),
        ({"measure": "throughput", "above": 40, "for_s": 1.0}, [(50, 0)], True),
    ],
)
def test_a_condition_aborts_when_it_has_held_for_all_of_its_time(condition, steps, aborts):
    reason = abort_reason([condition], samples(steps))
    assert (reason is not None) is aborts
    assert reason is None or condition["measure"] in reason


def test_a_node_is_unhealthy_that_is_asked_and_answers_nothing():
    heard = [combined([generator(t, n1=(t, t), n2=(t, 0), n3=(5, 5))]) for t in range(10)]
    condition = {"measure": "unhealthy_nodes", "for_s": 5.0}
    assert "it was 1" in abort_reason([{**condition, "above": 0}], heard)
    assert abort_reason([{**condition, "above": 1}], heard) is None


def test_the_generators_of_all_observers_are_summed():
    total = combined([generator(2.0, 5, 1, n1=(3, 2)), generator(1.5, 7, 0, n1=(1, 1), n2=(1, 0))])
    assert (total["answered"], total["unanswered"], total["t_s"]) == (12, 1, 1.5)
    assert total["nodes"] == {"n1": {"asked": 4, "answered": 3}, "n2": {"asked": 1, "answered": 0}}


class Output:
    def __init__(self):
        self.verbosity, self.said = 0, []

    def display(self, msg, *, screen_only=False, newline=True):
        self.said.append(msg)


def test_without_a_terminal_it_is_a_line_every_few_seconds():
    output = Output()
    watch = Watch(PLAN, 2.0, output, size=lambda: None)
    for second in range(6):
        assert watch.look(second, [generator(second, 10 * second)], interrupted=False) is None
    assert len(output.said) == 3
    assert not any("\x1b" in line for line in output.said)


def test_on_a_terminal_each_view_is_drawn_over_the_one_before():
    output = Output()
    watch = Watch(PLAN, 2.0, output, size=lambda: (100, 40))
    for second in range(2):
        watch.look(second, [generator(second, second, n1=(second, second))], interrupted=False)
    lines = output.said[0].count("\n")
    assert output.said[1].startswith(f"\x1b[{lines}F\x1b[J")


@given(st.floats(-9, 60), st.integers(0, 60), st.integers(1, 200), st.integers(1, 60))
def test_the_view_never_outgrows_the_terminal(now_s, heard, columns, height):
    """Else the next one could not be drawn over it."""
    known = [combined([generator(float(t), t, n1=(t, t), n2=(t, 0))]) for t in range(heard)]
    lines = live_view.fitting(live_view.rows(PLAN, now_s, known, columns), height)
    text = re.sub(r"\x1b\[[0-9;]*m", "", live_view.drawn(lines, columns, {"TERM": "xterm"}))
    assert len(text.splitlines()) == len(lines) <= max(height - 2, 2)
    assert all(len(line) <= columns for line in text.splitlines())


def test_the_view_tells_each_node_its_lane():
    known = [combined([generator(float(t), t, n1=(t, t), n2=(t, min(t, 10)))]) for t in range(16)]
    said = [row.plain for row in live_view.rows(PLAN, 15.0, known, 120)]
    assert "25 s left" in said[0]
    assert said[1].startswith("cut") and "partition n1 | n2, 5 s more" in said[1]
    assert said[-2].endswith("  answers") and "░" not in said[-2]
    assert said[-1].endswith("  answers nothing, partition (cut)") and "▆░" in said[-1]


def test_colours_are_left_out_where_they_are_not_wanted():
    text = live_view.drawn(live_view.rows(PLAN, 5.0, [], 100), 100, {"TERM": "xterm", "NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text)


@pytest.mark.parametrize(
    ("environment", "terminal", "drawn"),
    [
        ({"TERM": "xterm"}, True, True), ({"TERM": "xterm"}, False, False), ({}, True, False),
        ({"TERM": "dumb"}, True, False), ({"TERM": "xterm", "CI": "true"}, True, False),
    ],
)  # fmt: skip
def test_lines_are_drawn_over_only_on_a_terminal_that_can(environment, terminal, drawn):
    assert main_process.redraws(environment, terminal) is drawn


@pytest.mark.parametrize(
    ("now_s", "words"),
    [(-2.0, "before it began"), (12.2, "after 12 s of 40 s"), (41.0, "after its 40 s, before every key")],
)
def test_an_interrupt_ends_the_watch_and_says_when(now_s, words):
    stopped = Watch(PLAN, 2.0, Output(), size=lambda: None).look(now_s, [], interrupted=True)
    assert stopped["by"] == "user" and words in stopped["reason"]


def test_an_own_condition_ends_the_watch_within_the_duration_only():
    watch = Watch({**PLAN, "abort_conditions": [SLOW]}, 2.0, Output(), size=lambda: None)
    looks = [watch.look(float(t), [generator(float(t), 20 * min(t, 5))], False) for t in range(1, 9)]
    assert [look is not None for look in looks] == [False] * 6 + [True] * 2
    assert "aborted by its own condition after 7 s of 40 s: throughput below 10" in looks[6]["reason"]
    late = Watch({**PLAN, "abort_conditions": [SLOW]}, 2.0, Output(), size=lambda: None)
    assert all(late.look(41.0 + t, [generator(1.0 + t, 0, 0)], False) is None for t in range(5))


def test_what_the_observers_workers_heard_is_put_together(tmp_path):
    board = Board(tmp_path)
    board.post("o1", True, [generator(1.0)])
    assert board.read(["o1", "o2"])[0] is False  # the other has not said anything yet
    board.post("o2", False, [generator(2.0)])
    board.post("o2", False, [])  # a connection that failed: what was heard before stands
    assert (board.read(["o1", "o2"])[0], len(board.read(["o1", "o2"])[1])) == (False, 2)
    board.post("o2", True, [generator(3.0)])
    assert board.read(["o1", "o2"])[0] is True


@pytest.fixture
def callback(monkeypatch):
    """The callback while a run is watched; `told` is what it writes, `passed` what reaches Ansible."""
    told, passed = [], []
    monkeypatch.setattr(live, "say", told.append)
    before = {number: signal.signal(number, lambda n, _frame: passed.append(n)) for number in live.SIGNALS}
    made = live.CallbackModule()
    made.told, made.passed = told, passed
    begin(made, "compile")
    yield made
    made.release()
    main_process.forget_interrupt()
    for number, handler in before.items():
        signal.signal(number, handler)


def task(name):
    return SimpleNamespace(action=f"foundation.testbed.{name}", resolved_action=None)


def begin(callback, name):
    callback.v2_playbook_on_task_start(task(name), False)


def end(callback, name, **result):
    callback.v2_runner_on_ok(SimpleNamespace(task=task(name), result=result))


def test_the_first_signal_asks_the_run_to_stop_and_the_second_stops_at_once(callback):
    end(callback, "compile", folder="/somewhere/runs/20261124T120000Z-cut")
    begin(callback, "watch")
    signal.raise_signal(signal.SIGINT)
    assert main_process.interrupted() and not callback.passed
    assert "healed now" in callback.told[0]
    signal.raise_signal(signal.SIGTERM)
    assert callback.passed == [signal.SIGTERM]
    assert "heal.yml" in callback.told[1] and "-e run=20261124T120000Z-cut" in callback.told[1]
    assert "-e testbed_runs_dir=/somewhere/runs" in callback.told[1]


def test_a_stop_that_somebody_catches_comes_again_with_the_next_task(callback):
    begin(callback, "watch")
    for _ in range(2):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        begin(callback, "heal")


def test_once_records_are_collected_a_signal_is_ansibles_again(callback):
    begin(callback, "collect")
    signal.raise_signal(signal.SIGINT)
    assert callback.passed == [signal.SIGINT] and not main_process.interrupted()
    assert "heal.yml" not in callback.told[0]


def test_signals_are_ansibles_before_and_after_a_run(callback):
    end(callback, "judge")
    signal.raise_signal(signal.SIGINT)
    begin(callback, "watch")  # of no run that this callback has seen begin
    signal.raise_signal(signal.SIGINT)
    assert callback.passed == [signal.SIGINT] * 2 and not callback.told


def test_a_new_run_is_not_interrupted_by_the_last_ones_interrupt(callback):
    signal.raise_signal(signal.SIGINT)
    begin(callback, "compile")
    assert not main_process.interrupted()
