# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The beginning of every Ansible module that acts on nodes; the agent itself never loads this file."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.agent.enrolment import NotEnrolled, require


def enrolled_module(argument_spec: dict[str, Any], **options: Any) -> AnsibleModule:
    """Return the module with `testbed_id` among its arguments; fails unless this host is enrolled there.

    `options` are further arguments of AnsibleModule. The module must support check mode.
    """
    module = AnsibleModule(
        argument_spec={"testbed_id": {"type": "str", "required": True}, **argument_spec},
        supports_check_mode=True,
        **options,
    )
    try:
        require(module.params["testbed_id"])
    except NotEnrolled as error:
        module.fail_json(msg=str(error))
    return module
