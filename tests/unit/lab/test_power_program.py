# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The power program outlives whoever has started it."""

from __future__ import annotations

import os
import sys

from ansible_collections.foundation.testbed.plugins.module_utils.lab import power
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import power_dir, works

# Says whose child it is, and holds the lock as the program does.
PROGRAM = b"""
import fcntl, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
time.sleep(0.2)
(folder / "parent").write_text(str(os.getppid()))
lock = (folder / "lock").open("w")
fcntl.flock(lock, fcntl.LOCK_EX)
while (folder / "job.json").exists():
    time.sleep(0.05)
"""


def test_who_is_killed_with_all_its_descendants_takes_no_power_program_along(tmp_path, monkeypatch):
    """A node would stay off: an ad hoc command has begun the program that switches it on."""
    monkeypatch.setattr(power, "systemd_is_init", lambda: False)
    lab = LabPaths(tmp_path, "t")
    power.start(lab, {"run": "r", "testbed_id": "t"}, {}, PROGRAM, sys.executable)
    folder = power_dir(lab) / "r"
    try:
        assert int((folder / "parent").read_text()) != os.getpid()
    finally:
        (folder / "job.json").unlink()
    assert wait_until(lambda: not works(folder), 5.0)
