# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation that the modules which run on nodes share."""

from __future__ import annotations


class ModuleDocFragment:
    """Options and attributes of modules that run on enrolled nodes."""

    DOCUMENTATION = r"""
options:
  testbed_id:
    description: Name of the testbed. The module refuses any host that is not enrolled in it.
    type: str
    required: true
attributes:
  check_mode:
    description: Says what would be done and changes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
author: Foundation Testbed contributors (@foundation)
version_added: 0.1.0
"""
