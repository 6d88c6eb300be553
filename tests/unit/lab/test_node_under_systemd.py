# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nodes held by units of systemd: properties, power cut, console; and what a slow machine says to callers."""

from __future__ import annotations

import os
import re
import socket
import threading
from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import cgroup, lab, node
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.disk_limit import DiskLimit
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_container import ContainerSwitch
from hypothesis import example, given
from hypothesis import strategies as st


class FakeSystemctl:
    """A unit started with `--collect`: once its processes have ended, systemd knows nothing of it."""

    def __init__(self, shows_until_gone: int):
        self.shows_left = shows_until_gone
        self.commands: list[str] = []

    def __call__(self, argv, **_):
        self.commands.append(argv[1])
        if argv[1] == "show":
            return "deactivating\n" if self.shows_left > 0 else "inactive\n"
        if self.shows_left <= 0 or argv[1] != "kill":
            raise LabError(f"Unit {argv[-1]} not loaded.")
        self.shows_left -= 1
        return ""


@pytest.fixture
def held(tmp_path, monkeypatch):
    """Return a node on a machine run by systemd."""
    monkeypatch.setattr(node, "systemd_is_init", lambda: True)
    made = node.Node(LabPaths(tmp_path, "t"), "n1")
    made.paths.home.mkdir(parents=True)
    return made


@pytest.mark.parametrize("shows_until_gone", [0, 1, 3])
def test_a_unit_is_forgotten_once_it_is_killed(held, monkeypatch, shows_until_gone):
    """`systemctl stop` after the kill found no unit, and destroy ended there with everything mounted."""
    systemctl = FakeSystemctl(shows_until_gone)
    monkeypatch.setattr(node, "run", systemctl)
    held.kill()
    assert systemctl.commands == ["show", "kill"] * shows_until_gone + ["show"]
    assert not held.running()


def test_what_waits_for_a_slow_disk_is_let_go_before_it_is_killed(held, monkeypatch, tmp_path):
    """Its processes outlived SIGKILL for longer than `destroy` waits."""
    (tmp_path / "io.max").write_text("7:0 rbps=max wbps=max riops=2 wiops=2\n")
    monkeypatch.setattr(held, "disk_limit", lambda: DiskLimit(tmp_path, 2, "7:0"))
    told = []
    monkeypatch.setattr(
        node, "run", lambda *_, **__: told.append((tmp_path / "io.max").read_text()) or "inactive"
    )
    held.kill()
    assert told == ["7:0 riops=max wiops=max"]


def test_a_unit_that_ends_between_the_look_and_the_kill_is_no_error(held, monkeypatch):
    shown = iter(["active", "inactive"])

    def systemctl(argv, **_):
        if argv[1] == "show":
            return next(shown)
        raise LabError("Unit not loaded.")

    monkeypatch.setattr(node, "run", systemctl)
    held.kill()


def test_a_unit_that_outlives_its_kill_is_named(held, monkeypatch):
    monkeypatch.setattr(node, "run", FakeSystemctl(10**9))
    with pytest.raises(LabError, match=re.escape(held.unit)):
        held.kill(timeout_s=0.1)


def test_a_units_properties_hold_every_limit_delegate_and_the_console():
    properties = node.unit_properties(cgroup.Limits(2**29, 0.5, 100), Path("/state/console.log"))
    assert properties == [
        "--property=Delegate=yes", "--property=IOAccounting=yes", "--property=KillMode=mixed",
        "--property=Type=exec",
        "--property=StandardOutput=append:/state/console.log",
        "--property=StandardError=append:/state/console.log",
        f"--property=MemoryMax={2**29}", "--property=CPUQuota=50%", "--property=TasksMax=100",
        "--property=CPUWeight=100",
    ]  # fmt: skip


def test_a_units_console_is_the_file_of_this_life_of_the_node(held, monkeypatch):
    """The journal held every earlier node of that name too."""
    commands = []
    monkeypatch.setattr(node, "run", lambda argv, **_: commands.append(argv) or "from the journal")
    held.start(cgroup.Limits(2**29, 1, 100))
    assert f"--property=StandardOutput=append:{held.paths.console}" in commands[0]
    assert held.console_text() == ""
    held.paths.console.write_bytes(b"Welcome to \xff\n")
    assert held.console_text() == "Welcome to \ufffd\n"


@given(st.floats(0.01, 1024))
@example(1 / 3)
@example(2 / 3)
@example(0.33335)
@example(0.33325)
def test_a_processor_quota_is_one_that_systemd_reads_and_shows(cpus):
    """A third of a processor became 33.3333%; systemd takes hundredths of a per cent and no less."""
    limits = cgroup.Limits(1, cpus, 1)
    (quota,) = (p.split("=")[1] for p in node.limit_properties(limits) if p.startswith("CPUQuota="))
    assert re.fullmatch(r"\d+(\.\d{1,2})?%", quota)
    assert float(quota[:-1]) == pytest.approx(cpus * 100, abs=0.0051)
    us = round(float(quota[:-1]) * 10_000)
    assert f"CPUQuotaPerSecUSec={node._seconds(us / 1e6)}" in node.systemd_view(limits)


@pytest.fixture
def late_greeting(monkeypatch):
    """Return a caller of `answers_ssh` whose server greets after 0.3 s."""
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(node.socket, "create_connection", lambda *_, **__: ours)
    timer = threading.Timer(0.3, theirs.sendall, [b"SSH-2.0-OpenSSH_9.2\r\n"])
    timer.start()
    yield lambda **options: node.answers_ssh("10.0.0.11", **options)
    timer.cancel()
    timer.join()
    theirs.close()


def test_a_greeting_may_come_later_than_the_connection(late_greeting):
    """A slow machine accepts at once and needs seconds to start a process that greets."""
    assert late_greeting(timeout_s=0.05) is True


def test_a_greeting_that_does_not_come_in_time_is_no_answer(late_greeting):
    assert late_greeting(greeting_timeout_s=0.05) is False


def test_last_words_are_lines_with_words(held):
    held.paths.console.write_text("one\ntwo\n\nthree\n  \nfour  \n\n\n\n")
    assert lab._last_words(held) == "two | three | four"
    held.paths.console.write_text("\n\n")
    assert lab._last_words(held) == "none"


def test_a_boot_of_this_machine_is_none_of_the_node(monkeypatch):
    """PID 1 of a node sees this machine's files until systemd-nspawn has changed its root."""
    switch = object.__new__(ContainerSwitch)
    monkeypatch.setattr(switch, "_init", os.getpid, raising=False)
    assert switch.boot_id() is None
