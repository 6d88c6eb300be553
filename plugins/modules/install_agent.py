#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: install_agent
short_description: Install the agent on a node
description:
  - Packs the node-side code of this collection and the client of every system into one file and copies it to
    C(/usr/local/lib/foundation-testbed/agent.pyz) on the node.
  - The same code gives the same bytes, so nothing is changed where the same agent is in place.
  - The agent does nothing until a run is staged, and does faults only on an enrolled host.
version_added: 0.1.0
author: Foundation Testbed contributors (@foundation)
attributes:
  check_mode:
    description: Says whether the node's agent would be replaced.
    support: full
  diff_mode:
    description: As M(ansible.builtin.copy) does it for a file that is not text.
    support: partial
options: {}
seealso:
  - module: foundation.testbed.enrolment
"""

EXAMPLES = r"""
- name: Install the agent
  foundation.testbed.install_agent:
"""

RETURN = r"""
dest:
  description: Path of the agent on the node.
  returned: success
  type: str
  sample: /usr/local/lib/foundation-testbed/agent.pyz
checksum:
  description: SHA-1 checksum of the agent.
  returned: success
  type: str
"""
