#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: collect
short_description: Bring home what a run left on a node
description:
  - Packs the run's folder, the journal of the system's units since the run was staged and the log files that
    the system declares, and fetches it into the run's folder on the controller.
  - What is on the node stays there; of the runs that were brought home the last five are kept.
extends_documentation_fragment: foundation.testbed.node_module
options:
  run:
    description: Name of the run.
    type: str
    required: true
  dest:
    description: Folder on the controller; a folder named after the host is made in it.
    type: path
    required: true
  units:
    description: Systemd units whose journal is collected.
    type: list
    elements: str
    default: []
  log_paths:
    description: Further log files or folders.
    type: list
    elements: str
    default: []
  since_wall_ns:
    description: Start of the journal to collect, in nanoseconds since the epoch.
    type: int
    default: 0
  patience_s:
    description: Seconds to wait for the node's agent to come to its end.
    type: float
    default: 20
"""

EXAMPLES = r"""
- name: Bring the records home
  foundation.testbed.collect:
    testbed_id: local
    run: 20261123T231500Z-etcd_majority_partition
    dest: runs/20261123T231500Z-etcd_majority_partition/nodes
    units: [etcd.service]
"""

RETURN = r"""
finished:
  description: Whether the node's agent had come to its end.
  returned: success
  type: bool
folder:
  description: Where the records are on the controller.
  returned: success
  type: str
"""

import shutil
import tarfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ansible_module import enrolled_module
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import RUNS, STATE, run_dir

KEEP_RUNS = 5


def wait_finished(folder: Path, patience_s: float) -> bool:
    """Wait for the agent to write its last file; returns whether it did."""
    deadline = time.monotonic() + patience_s
    while not (folder / "done.json").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def pack(module: AnsibleModule, folder: Path) -> str:
    """Write journal files beside the records and pack everything; returns the archive's path."""
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    since = f"@{module.params['since_wall_ns'] // 10**9}"
    for unit in [*module.params["units"], f"foundation-testbed-run-{module.params['run']}.service"]:
        _status, output, _errors = module.run_command(
            ["journalctl", "--no-pager", "--output=short-iso-precise", f"--since={since}", f"--unit={unit}"]
        )
        (logs / f"{unit}.log").write_text(output, encoding="utf-8")
    archive = STATE / f"{module.params['run']}.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(folder, arcname=".")
        for path in module.params["log_paths"]:
            if Path(path).exists():
                tar.add(path, arcname=f"logs/{path.strip('/').replace('/', '_')}")
    return str(archive)


def forget_old_runs() -> None:
    """Remove all but the newest runs that were brought home; a run's name begins with its time."""
    for old in sorted(path.parent for path in RUNS.glob("*/collected"))[:-KEEP_RUNS]:
        shutil.rmtree(old)


def main() -> None:
    """Pack the records of one run."""
    module = enrolled_module(
        {
            "run": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "units": {"type": "list", "elements": "str", "default": []},
            "log_paths": {"type": "list", "elements": "str", "default": []},
            "since_wall_ns": {"type": "int", "default": 0},
            "patience_s": {"type": "float", "default": 20.0},
        }
    )
    folder = run_dir(module.params["run"])
    if not folder.is_dir():
        module.fail_json(
            msg=f"this node knows nothing of the run {module.params['run']}: {folder} does not exist"
        )
    if module.check_mode:
        module.exit_json(changed=True, finished=(folder / "done.json").exists())
    finished = wait_finished(folder, module.params["patience_s"])
    archive = pack(module, folder)
    forget_old_runs()
    module.exit_json(changed=True, finished=finished, archive=archive)


if __name__ == "__main__":
    main()
