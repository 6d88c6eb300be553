# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A container as the chassis of OpenIPMI's simulator.

`power_button.py STATE_DIR LAB NODE NOTE get|set power [0|1]`. NOTE is a file with the limits that the
container is switched on with.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_container import ContainerSwitch


def main(state_dir: str, lab: str, node: str, note: str, verb: str, what: str, *value: str) -> int:
    """Do or say one thing, in the simulator's words (ipmi_lan(5), chassis_control)."""
    switch = ContainerSwitch(LabPaths(Path(state_dir), lab), node)
    if (verb, what) == ("get", "power"):
        print(f"power:{int(switch.running())}")
    elif (verb, what, value) == ("set", "power", ("0",)):
        switch.cut()
    elif (verb, what, value) == ("set", "power", ("1",)):
        switch.on(json.loads(Path(note).read_text(encoding="utf-8")))
    else:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
