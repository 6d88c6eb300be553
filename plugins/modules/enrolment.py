#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: enrolment
short_description: The marker that a host belongs to a testbed
description:
  - Faults run only on hosts that carry this marker.
  - A host that is enrolled in another testbed is refused.
extends_documentation_fragment: foundation.testbed.node_module
options:
  state:
    description: Whether the host is to be enrolled.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Enrol this host
  foundation.testbed.enrolment:
    testbed_id: local
"""

RETURN = r"""
before:
  description: Testbed that the host was enrolled in, empty when in none.
  returned: success
  type: str
"""

import contextlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.agent.enrolment import (
    NotEnrolled,
    enrolled_in,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT, ENROLMENT, STATE


def main() -> None:
    """Enrol or release this host."""
    module = AnsibleModule(
        argument_spec={
            "testbed_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    wanted = module.params["testbed_id"]
    try:
        before = enrolled_in()
    except NotEnrolled:
        before = ""
    if before not in ("", wanted):
        module.fail_json(
            msg=f"this host is enrolled in the testbed {before!r}; "
            f"release it there before it joins {wanted!r}"
        )
    present = module.params["state"] == "present"
    missing = [
        folder for folder in (ENROLMENT.parent, STATE, AGENT.parent) if present and not folder.is_dir()
    ]
    changed = present != bool(before) or bool(missing)
    if changed and not module.check_mode:
        if present:
            for folder in missing:
                folder.mkdir(parents=True)
            write_json(ENROLMENT, {"testbed_id": wanted}, durable=True)
        else:
            ENROLMENT.unlink()
            with contextlib.suppress(OSError):
                ENROLMENT.parent.rmdir()
    module.exit_json(changed=changed, before=before)


if __name__ == "__main__":
    main()
