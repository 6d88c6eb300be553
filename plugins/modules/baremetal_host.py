#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: baremetal_host
short_description: Enrol a host that belongs to somebody, and release it as it was
version_added: 0.2.0
author: Foundation Testbed contributors (@foundation)
description:
  - C(present) takes down on the host what is there, and then installs what the testbed needs. No service of
    the installed packages is started or enabled.
  - C(absent) puts all of it back. What packages, files, units, users and marks were before is in a record
    that stays on the host, C(/var/lib/foundation-testbed/before), until all is done.
  - Either may be interrupted, by a lost connection or a reboot, and called again.
  - A host that cannot be put back as it was is refused, with every reason.
attributes:
  check_mode:
    description: Says what would be installed or purged, and what speaks against it. Changes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  testbed_id:
    description: Name of the testbed. A host of another one is refused.
    type: str
    required: true
  state:
    description: Whether the host is to be the testbed's.
    type: str
    choices: [present, absent]
    default: present
  packages:
    description: Debian packages that the host's roles need, beside those of every host.
    type: list
    elements: str
    default: []
  units:
    description: Services of the systems under test; a host on which one of them runs already is refused.
    type: list
    elements: str
    default: []
  config_paths:
    description: Files and folders that the systems' roles write.
    type: list
    elements: path
    default: []
  data_paths:
    description: Folders of the systems' data; a host on which one holds files already is refused.
    type: list
    elements: path
    default: []
  ports:
    description: TCP ports that have to be free, by what needs them.
    type: dict
    default: {}
  update:
    description: Whether apt asks the host's mirrors what there is before anything is installed.
    type: bool
    default: true
  keep_packages:
    description: Packages that stay where O(state=absent), as somebody needs them by now.
    type: list
    elements: str
    default: []
seealso:
  - module: foundation.testbed.enrolment
"""

EXAMPLES = r"""
- name: See what enrolling would install
  foundation.testbed.baremetal_host:
    testbed_id: lab
    packages: [etcd-server, etcd-client]
  check_mode: true

- name: Release the host
  foundation.testbed.baremetal_host:
    testbed_id: lab
    state: absent
"""

RETURN = r"""
packages:
  description: Packages that are (in check mode, would be) installed or purged; an installation with versions.
  returned: success
  type: list
  elements: str
enrolled:
  description: Whether the host was enrolled before, with all that it needs.
  returned: when O(state=present)
  type: bool
resumes:
  description: Whether an enrolment had begun and not ended.
  returned: when O(state=present)
  type: bool
left:
  description: What somebody has changed meanwhile, and what was therefore left as it is.
  returned: when O(state=absent)
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.agent.enrolment import (
    NotEnrolled,
    enrolled_in,
)
from ansible_collections.foundation.testbed.plugins.module_utils.host import enrol, release
from ansible_collections.foundation.testbed.plugins.module_utils.host.command import HostError
from ansible_collections.foundation.testbed.plugins.module_utils.host.record import Record


def present(module: AnsibleModule, record: Record) -> dict:
    """Enrol the host."""
    keys = ("testbed_id", "packages", "units", "config_paths", "data_paths", "ports")
    wanted = enrol.Wanted(**{key: module.params[key] for key in keys})
    planned = enrol.plan(wanted, record)
    changes = not planned.enrolled
    if changes and planned.fit and module.params["update"] and not module.check_mode:
        enrol.refresh()
        planned = enrol.plan(wanted, record)
    if planned.refusals:
        module.fail_json(msg="this host cannot be enrolled: " + "; ".join(planned.refusals))
    if changes and not module.check_mode:
        enrol.enrol(wanted, record, planned)
    return {"changed": changes, **enrol.told(planned)}


def absent(module: AnsibleModule, record: Record) -> dict:
    """Release the host."""
    if not record:
        if marker():
            module.fail_json(
                msg=f"this host is enrolled, and the record of what it was before, {record.path}, is "
                "missing; foundation.testbed.enrolment with state=absent removes the marker"
            )
        changes = not module.check_mode and release.remove_remains(record)
        return {"changed": changes, "packages": [], "left": []}
    if record.testbed_id != module.params["testbed_id"]:
        module.fail_json(
            msg=f"this host is enrolled in the testbed {record.testbed_id!r}, not in "
            f"{module.params['testbed_id']!r}"
        )
    purge = release.to_purge(record, module.params["keep_packages"])
    if problems := release.refusals(record, purge):
        module.fail_json(msg="this host cannot be released: " + "; ".join(problems))
    left = [] if module.check_mode else release.release(record, module.params["keep_packages"])
    return {"changed": True, "packages": purge, "left": left}


def marker() -> str:
    """Return the testbed of this host's marker, empty for none."""
    try:
        return enrolled_in()
    except NotEnrolled:
        return ""


def main() -> None:
    """Enrol or release."""
    texts = {"type": "list", "elements": "str", "default": []}
    paths = {"type": "list", "elements": "path", "default": []}
    module = AnsibleModule(
        argument_spec={
            "testbed_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "packages": texts,
            "units": texts,
            "config_paths": paths,
            "data_paths": paths,
            "ports": {"type": "dict", "default": {}},
            "update": {"type": "bool", "default": True},
            "keep_packages": texts,
        },
        supports_check_mode=True,
    )
    act = {"present": present, "absent": absent}[module.params["state"]]
    try:
        result = act(module, Record())
    except HostError as error:
        module.fail_json(msg=str(error))
    for line in result.get("left", []):
        module.warn(line)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
