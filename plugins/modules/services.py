#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: services
short_description: Lay out the testbed's own services on a host and have them run
description:
  - Writes files and units, enables units for every boot and starts those that have to run, all in one call.
  - A unit that runs is restarted when any of the files changed.
extends_documentation_fragment: foundation.testbed.node_module
options:
  files:
    description: Content of each file, by its path; folders are made.
    type: dict
    default: {}
  enabled:
    description: Units that every boot starts.
    type: list
    elements: str
    default: []
  started:
    description: Units that every boot starts and that run now.
    type: list
    elements: str
    default: []
  restarted:
    description: Whether to restart what runs although no file changed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Have the node take faults back at every boot
  foundation.testbed.services:
    testbed_id: local
    files:
      /etc/systemd/system/foundation-testbed-recover.service: >-
        {{ lookup('ansible.builtin.file', 'foundation-testbed-recover.service') ~ '\n' }}
    enabled: [foundation-testbed-recover.service]
"""

RETURN = r"""
written:
  description: Files that changed.
  returned: success
  type: list
  elements: str
enabled:
  description: Units that were not enabled before.
  returned: success
  type: list
  elements: str
started:
  description: Units that were started or restarted.
  returned: success
  type: list
  elements: str
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ansible_module import enrolled_module


def outdated(files: dict) -> dict:
    """Return the files whose content on this host is another."""
    return {path: text for path, text in files.items() if not _holds(Path(path), text)}


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def write(files: dict) -> None:
    """Replace each file in one piece, readable by everybody."""
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(path)


def said(module: AnsibleModule, verb: str, units: list) -> list:
    """Return what systemctl says of each unit: `is-enabled` or `is-active`."""
    if not units:
        return []
    _status, output, _errors = module.run_command(["systemctl", verb, *units])
    words = output.split("\n")
    return [words[i] if i < len(words) else "" for i in range(len(units))]


def systemctl(module: AnsibleModule, verb: str, *units: str) -> None:
    """Have systemd do something; fails with its own words."""
    module.run_command(["systemctl", verb, *units], check_rc=True)


def main() -> None:
    """Write, enable, start."""
    module = enrolled_module(
        {
            "files": {"type": "dict", "default": {}},
            "enabled": {"type": "list", "elements": "str", "default": []},
            "started": {"type": "list", "elements": "str", "default": []},
            "restarted": {"type": "bool", "default": False},
        }
    )
    files = {
        path: text if isinstance(text, str) else json.dumps(text)
        for path, text in module.params["files"].items()
    }
    fresh = outdated(files)
    if not module.check_mode:
        write(fresh)
        if fresh:
            systemctl(module, "daemon-reload")
    units = [*module.params["enabled"], *module.params["started"]]
    enable = [unit for unit, word in zip(units, said(module, "is-enabled", units)) if word != "enabled"]
    running = said(module, "is-active", module.params["started"])
    anew = bool(fresh) or module.params["restarted"]
    start = [unit for unit, word in zip(module.params["started"], running) if anew or word != "active"]
    if not module.check_mode:
        if enable:
            systemctl(module, "enable", *enable)
        if start:
            systemctl(module, "restart", *start)
    module.exit_json(
        changed=bool(fresh or enable or start), written=sorted(fresh), enabled=enable, started=start
    )


if __name__ == "__main__":
    main()
