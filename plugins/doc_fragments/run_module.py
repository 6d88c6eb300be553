# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation that the modules which write the records of a run share."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of modules that write into the folder of a run."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: It writes into the folder of the run.
    support: none
  diff_mode:
    description: There is nothing to compare.
    support: none
author: Foundation Testbed contributors (@foundation)
"""
