# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a process fault may be told, what becomes of it on a node, and what is read from /proc and systemd."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import processes, service_units
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    ClusterView,
    Context,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import read_parameters
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _process_markers,
    _start_ban,
    process,
)
from hypothesis import given
from hypothesis import strategies as st

CLUSTER = ClusterView(
    testbed_id="t",
    nodes={"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3"},
    observers={},
    systems={"n1": ["etcd"], "n2": ["etcd", "patroni"], "n3": []},
    workloads={},
    units={"etcd": ["etcd.service"], "patroni": ["patroni.service", "postgresql.service"]},
)


def wrong(**given):
    """All that is wrong with parameters."""
    params, problems = read_parameters(process.FAULT.parameters, given)
    return problems or list(process.FAULT.problems(params))


def plan(*nodes, **given):
    params, problems = read_parameters(process.FAULT.parameters, given)
    assert not problems
    return process.FAULT.plan(params, Targets(nodes, CLUSTER, random.Random(0)))


def test_the_units_of_the_nodes_own_systems_are_the_default():
    assert plan("n1", "n2", action="kill") == {
        "n1": {"action": "kill", "units": ["etcd.service"]},
        "n2": {"action": "kill", "units": ["etcd.service", "patroni.service", "postgresql.service"]},
    }


def test_named_units_and_patterns_go_to_every_chosen_node():
    assert plan("n3", action="pause", unit="cron, nginx.service") == {
        "n3": {"action": "pause", "units": ["cron.service", "nginx.service"]}
    }
    assert plan("n3", action="crash_loop", pattern="java.*Main", interval="250ms") == {
        "n3": {"action": "crash_loop", "interval_s": 0.25, "pattern": "java.*Main"}
    }
    assert plan("n1", action="kill", hold="yes")["n1"]["hold"] is True


def test_a_node_without_a_unit_is_refused():
    with pytest.raises(ValueError, match="unit: given none, and no system with units runs on n3; allowed"):
        plan("n3", action="kill")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "action: is required but missing"),
        (
            {"action": "murder"},
            "action: given 'murder'; allowed: crash_loop, kill, pause, restart, terminate",
        ),
        ({"action": "kill", "unit": "ssh"}, "unit: given 'ssh'; allowed: any service but ssh, dbus"),
        ({"action": "kill", "unit": "systemd-networkd.service"}, "unit: given 'systemd-networkd.service'"),
        ({"action": "kill", "unit": "foundation-testbed-run-1.service"}, "unit: given 'foundation-testbed-"),
        (
            {"action": "kill", "unit": "a.socket"},
            "unit: given 'a.socket'; allowed: the name of a systemd service",
        ),
        ({"action": "kill", "unit": "--all"}, "unit: given '--all'; allowed: the name of a systemd service"),
        ({"action": "kill", "pattern": "("}, "pattern: given '(' (missing ), unterminated"),
        ({"action": "kill", "pattern": ""}, "pattern: given ''; allowed: a regular expression"),
        ({"action": "kill", "unit": "a", "pattern": "b"}, "pattern: given beside unit; allowed: one of them"),
        ({"action": "pause", "hold": True}, "hold: given for pause; allowed: for kill and terminate"),
        ({"action": "kill", "interval": "2s"}, "interval: given for kill; allowed: for crash_loop"),
        ({"action": "crash_loop", "interval": "10ms"}, "interval: given '10ms'; allowed: 0.1s or more"),
        ({"action": "restart", "pattern": "b"}, "pattern: given with restart; allowed: unit"),
        ({"action": "kill", "pattern": "b", "hold": True}, "pattern: given with hold; allowed: unit"),
    ],
)
def test_mistakes_name_the_key_the_value_and_what_is_allowed(given, said):
    problems = wrong(**given)
    assert len(problems) == 1 and problems[0].startswith(said), problems


@given(st.text(max_size=30), st.sampled_from("RSDTtIZX"), st.integers(min_value=0, max_value=2**62))
def test_stat_is_read_whatever_a_process_calls_itself(name, state, start):
    text = f"17 ({name}) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 {start} 20 21"
    assert processes.parse_stat(text) == (name, state, start)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("9:name=systemd:/system.slice/etcd.service\n0::/system.slice/etcd.service\n", "etcd.service"),
        ("0::/system.slice/system-patroni.slice/patroni@1.service/sub\n", "patroni@1.service"),
        ("8:pids:/other.service\n0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope"),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/a.service\n", "user@0.service"),
        ("4:memory:/\n0::/\n", ""),
    ],
)
def test_the_unit_of_a_process_is_in_its_groups(text, unit):
    assert processes.parse_unit(text) == unit


@pytest.mark.parametrize(
    ("name", "unit", "spared"),
    [
        ("sshd", "", True),
        ("systemd-journal", "systemd-journald.service", True),
        ("python3", "foundation-testbed-run-x.service", True),
        ("sshd", "ssh.service", True),
        ("python3", "ssh.service", False),
        ("etcd", "etcd.service", False),
        ("python3", "session-1.scope", False),
    ],
)
def test_what_a_pattern_never_touches(name, unit, spared):
    assert processes.protected(processes.Process(50, 1, name, "S", unit)) is spared
    assert processes.protected(processes.Process(1, 1, name, "S", unit))


SHOWN = """Id=etcd.service
LoadState=loaded
ActiveState=activating
SubState=auto-restart
MainPID=0
NRestarts=3
InvocationID=abc
ActiveEnterTimestampMonotonic=1923602655
Job=

Id=nosuch.service
LoadState=not-found
ActiveState=inactive
SubState=dead
"""


def test_what_systemd_shows_of_several_units():
    etcd, nosuch = service_units.parse_show(SHOWN)
    assert (etcd.name, etcd.restarts, etcd.active_at_s, etcd.job) == ("etcd.service", 3, 1923.602655, False)
    assert etcd.wanted and not etcd.up
    assert (nosuch.load, nosuch.main_pid, nosuch.wanted) == ("not-found", 0, False)


# Of this run alone: another run of the tests may have one as well.
SLEEPER = f"tb-unit-test-sleeper-{os.getpid()}"


@pytest.fixture
def sleeper():
    """A real process with a command line of its own."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", SLEEPER])
    # The kernel lets go of the parent a moment before it shows the child's command line.
    assert wait_for(lambda: SLEEPER in processes.command_line(child.pid))
    yield child
    child.kill()
    child.wait()


def test_a_signal_reaches_this_very_process_only(sleeper):
    found = processes.read_process(sleeper.pid)
    assert found is not None and processes.lives(found)
    later = processes.Process(found.pid, found.start + 1, found.name, found.state)
    assert not processes.lives(later) and not processes.send(later, signal.SIGKILL)
    assert sleeper.poll() is None
    assert processes.send(found, signal.SIGKILL) and sleeper.wait(10) == -signal.SIGKILL
    assert not processes.lives(found) and not processes.send(found, signal.SIGKILL)


def test_a_pattern_finds_a_command_line_but_never_ourselves(sleeper):
    assert [found.pid for found in processes.matching(SLEEPER.replace("sleeper", "slee?per"))] == [
        sleeper.pid
    ]
    assert os.getpid() not in [found.pid for found in processes.matching(".")]


def fault(tmp_path, monkeypatch, fault_id="f1", **program):
    monkeypatch.setattr(_process_markers, "MARKERS", tmp_path / "markers")
    monkeypatch.setattr(_start_ban, "DROP_INS", tmp_path / "units")
    monkeypatch.setattr(service_units, "systemctl", lambda *_: subprocess.CompletedProcess([], 0, "", ""))
    return process.ProcessFault(Context("run", fault_id, program, 0, 10**9, True))


def state_of(child):
    found = processes.read_process(child.pid)
    return found.state if found else None


def wait_for(condition):
    for _ in range(200):
        if condition():
            return True
        threading.Event().wait(0.01)
    return False


def wait_for_state(child, states):
    return wait_for(lambda: state_of(child) in states)


def test_pauses_overlap_and_end_in_any_order(sleeper, tmp_path, monkeypatch):
    pattern = SLEEPER
    first = fault(tmp_path, monkeypatch, "f1", action="pause", pattern=pattern)
    second = fault(tmp_path, monkeypatch, "f2", action="pause", pattern=pattern)
    first.apply()
    assert wait_for_state(sleeper, "T")
    second.apply()
    first.revert(first.undo())
    assert first.traces() == [] and second.traces() and state_of(sleeper) == "T"
    assert not first.evidence()["present"]
    second.revert(second.undo())
    second.revert(second.undo())
    assert wait_for_state(sleeper, "SR")
    assert process.FAULT.leftovers() == []


def test_a_process_that_somebody_lets_go_on_shows(sleeper, tmp_path, monkeypatch):
    paused = fault(tmp_path, monkeypatch, action="pause", pattern=SLEEPER)
    paused.apply()
    assert wait_for_state(sleeper, "T")
    for _ in range(100):
        if paused.evidence()["effective"]:
            break
        threading.Event().wait(0.01)
    assert paused.evidence()["present"]
    os.kill(sleeper.pid, signal.SIGCONT)
    threading.Event().wait(0.2)
    found = paused.evidence()
    assert not found["present"] and found["set_going"] == [sleeper.pid]
    paused.revert(paused.undo())


def test_what_was_stopped_before_stays_stopped(sleeper, tmp_path, monkeypatch):
    os.kill(sleeper.pid, signal.SIGSTOP)
    assert wait_for_state(sleeper, "T")
    paused = fault(tmp_path, monkeypatch, action="pause", pattern=SLEEPER)
    paused.apply()
    paused.revert(paused.undo())
    threading.Event().wait(0.1)
    assert state_of(sleeper) == "T"


def test_a_kill_that_hit_nobody_is_no_kill(tmp_path, monkeypatch):
    killed = fault(tmp_path, monkeypatch, action="kill", pattern="tb-unit-test-nobody-is-called-so")
    killed.apply()
    found = killed.evidence()
    assert (found["present"], found["effective"], found["hit"]) == (False, False, 0)
    killed.revert(killed.undo())


def test_a_drop_in_without_a_marker_is_left_over_and_taken_away(tmp_path, monkeypatch):
    fault(tmp_path, monkeypatch, action="kill", pattern="x")
    folder = tmp_path / "units" / "etcd.service.d"
    folder.mkdir(parents=True)
    (folder / "own.conf").write_text("")
    (folder / "foundation-testbed-run.f9.conf").write_text(_start_ban.drop_in_text(tmp_path / "m"))
    (undo,) = process.FAULT.leftovers()
    assert undo["trace"] == "foundation-testbed-run.f9.conf of etcd.service"
    process.FAULT.revert(undo)
    assert [path.name for path in folder.iterdir()] == ["own.conf"]
    assert process.FAULT.leftovers() == []
