#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: admit
short_description: Start a run or refuse it
description:
  - Judges what M(foundation.testbed.preflight) was answered by every host. When there is any reason not to
    run, the run ends here with the verdict C(unknown), every reason, and a report.
  - Otherwise it chooses the start instant, a whole second far enough ahead for staging, and gives each host
    its part of the plan.
  - Records in C(run.json) the start instant, the clock offset of every host and the versions of the systems.
version_added: 0.1.0
extends_documentation_fragment: foundation.testbed.run_module
options:
  folder:
    description: Folder of the run, as M(foundation.testbed.compile) returned it.
    type: path
    required: true
  plan:
    description: The plan, as M(foundation.testbed.compile) returned it.
    type: dict
    required: true
  systems:
    description: Names of the systems that each node runs, as M(foundation.testbed.compile) returned them.
    type: dict
    required: true
  answers:
    description: What each host answered to M(foundation.testbed.preflight), by host.
    type: dict
    required: true
  states:
    description: >-
      What each host answered to M(foundation.testbed.ask_state), by host; needed where the plan has a steady
      state. A run is refused where that does not hold.
    type: dict
    default: {}
  asked_wall_ns:
    description: >-
      Since when the hosts were asked, in nanoseconds since the epoch; by default since the run began its
      step C(preflight).
    type: int
seealso:
  - module: foundation.testbed.preflight
  - module: foundation.testbed.stage
"""

EXAMPLES = r"""
- name: Judge the answers and choose the start instant
  foundation.testbed.admit:
    folder: "{{ testbed_run.folder }}"
    plan: "{{ testbed_run.plan }}"
    systems: "{{ testbed_run.systems }}"
    answers: >-
      {{ (groups['nodes'] + groups['observers'])
      | foundation.testbed.answers(hostvars, 'testbed_preflight') }}
  register: testbed_admission
"""

RETURN = r"""
programs:
  description: What each host is to be staged with, by host.
  returned: success
  type: dict
start_wall_ns:
  description: The start instant, in nanoseconds since the epoch.
  returned: success
  type: int
verdict:
  description: The verdict of a run that was refused.
  returned: when the run is refused
  type: str
  sample: unknown
reasons:
  description: Every reason why the run was refused.
  returned: when the run is refused
  type: list
  elements: str
report:
  description: Path of the report on the controller.
  returned: when the run is refused
  type: str
testbed_exit:
  description: Exit status that the first reason asks for.
  returned: when the run is refused
  type: int
  sample: 13
"""
