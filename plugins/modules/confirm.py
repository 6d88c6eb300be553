#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: confirm
short_description: Confirm that every host is armed
description:
  - Looks at what M(foundation.testbed.stage) returned on every host and names those that are not armed.
  - It does not fail. A run that is not armed everywhere is to be healed and judged, not watched.
  - A run that the user has interrupted by then is not to begin either.
  - Records the answer in C(run.json).
version_added: 0.1.0
extends_documentation_fragment: foundation.testbed.run_module
options:
  folder:
    description: Folder of the run, as M(foundation.testbed.compile) returned it.
    type: path
    required: true
  answers:
    description: What each host answered to M(foundation.testbed.stage), by host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Confirm that every node waits for the start instant
  foundation.testbed.confirm:
    folder: "{{ testbed_run.folder }}"
    answers: >-
      {{ (groups['nodes'] + groups['observers']) | foundation.testbed.answers(hostvars, 'testbed_stage') }}
  register: testbed_confirmation
"""

RETURN = r"""
aborted:
  description: One sentence for each host that is not armed, or for the user's interrupt; empty when all are.
  returned: success
  type: list
  elements: str
"""
