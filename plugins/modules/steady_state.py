#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: steady_state
short_description: Judge whether the steady state is back after a run
description:
  - Judges what M(foundation.testbed.ask_state) was answered by every host, and records it in C(run.json).
  - It does not fail. Where the steady state is not back, and the time for that is not over, it says that the
    hosts are to be asked again.
version_added: 0.4.0
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
  nodes:
    description: Names of the nodes that run the system.
    type: list
    elements: str
    required: true
  start_wall_ns:
    description: The start instant in nanoseconds since the epoch, as M(foundation.testbed.admit) returned it.
    type: int
    required: true
  answers:
    description: What each host answered to M(foundation.testbed.ask_state), by host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Judge whether the steady state is back
  foundation.testbed.steady_state:
    folder: "{{ testbed_run.folder }}"
    plan: "{{ testbed_run.plan }}"
    nodes: "{{ groups['etcd'] }}"
    start_wall_ns: "{{ testbed_admission.start_wall_ns }}"
    answers: "{{ groups['nodes'] | foundation.testbed.answers(hostvars, 'testbed_state') }}"
  run_once: true
"""

RETURN = r"""
held:
  description: Whether all of it is back.
  returned: success
  type: bool
again:
  description: Whether the hosts are to be asked again.
  returned: success
  type: bool
"""
