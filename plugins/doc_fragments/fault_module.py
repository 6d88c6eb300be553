# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation that the modules of all kinds of fault share."""

from __future__ import annotations


class ModuleDocFragment:
    """Options, return values' notes and attributes of the modules that break a node."""

    DOCUMENTATION = r"""
options:
  testbed_id:
    description:
      - Name of the testbed. The module refuses any host that is not enrolled in it.
      - Taken from the inventory's variable C(testbed_id) where it is not given.
    type: str
  state:
    description:
      - C(present) begins the fault at once. It ends by itself after O(for), whatever becomes of the
        controller and of the connection.
      - C(absent) takes it back now. On a node without it nothing is changed.
    type: str
    choices: [present, absent]
    default: present
  for:
    description:
      - How long it lasts, such as C(30s) or C(2min); at most C(6h). Needed where O(state=present).
    type: str
  id:
    description:
      - Name of the fault, by which O(state=absent) finds it. The kind's own name where it is not given.
      - A lower-case letter, then at most 20 lower-case letters, digits or hyphens.
      - The same fault again while it is active changes nothing. Another one of this name is refused.
    type: str
  seed:
    description: Whatever is random is drawn from it, the same on all hosts.
    type: int
    default: 1
attributes:
  check_mode:
    description: Asks the node whether it can, says what would be done, and changes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
seealso:
  - module: foundation.testbed.fault_info
  - module: foundation.testbed.heal
author: Foundation Testbed contributors (@foundation)
version_added: 0.2.0
"""
