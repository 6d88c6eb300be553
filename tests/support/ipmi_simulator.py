# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""OpenIPMI's simulator of a management controller, with a container as its chassis.

It is in Debian's package openipmi, which bin/setup installs for the tests, as it does ipmitool.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.lab.bmc import Ipmi
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_container import ContainerSwitch

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = """name "sim"
set_working_mc 0x20
  startlan 1
    addr {address} {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{chassis}"
  user 1 true "" "none" user 10 none md2 md5 straight
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""
CONTROLLER = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
"""


@contextlib.contextmanager
def simulator(
    paths: LabPaths, node: str, folder: Path, address: str, port: int, user: str, password: str
) -> Iterator[None]:
    """Run it for one container while entered."""
    note, chassis = folder / "note.json", folder / "chassis"
    note.write_text(json.dumps(ContainerSwitch(paths, node).note()))
    button = [sys.executable, str(ROOT / "tests/support/power_button.py")]
    words = [*button, str(paths.state_dir), paths.testbed_id, node, str(note)]
    chassis.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    chassis.chmod(0o700)
    said = {"address": address, "port": port, "user": user, "password": password, "chassis": chassis}
    (folder / "lan.conf").write_text(CONFIGURATION.format(**said))
    (folder / "sim.emu").write_text(CONTROLLER)
    (folder / "state").mkdir()
    command = ["ipmi_sim", "-c", "lan.conf", "-f", "sim.emu", "-s", "state", "-n"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT / ".collections")},
        )
    try:
        await_answer(Ipmi({**said, "cipher_suite": 3}), process, folder / "log")
        yield
    finally:
        process.kill()
        process.wait()


def await_answer(ipmi: Ipmi, process: subprocess.Popen[bytes], log: Path, within_s: float = 15.0) -> None:
    """Wait until the simulator says whether the chassis has power."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            ipmi.running()
            return
        except LabError as error:
            assert process.poll() is None, f"ipmi_sim ended: {log.read_text(errors='replace')}"
            assert time.monotonic() < deadline, f"ipmi_sim: no answer within {within_s:g} s: {error}"
            time.sleep(0.1)
