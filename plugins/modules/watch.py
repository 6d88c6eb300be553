#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: watch
short_description: Show how a run goes on
description:
  - Shows the time left, the faults that are active, the load and its errors, and a lane for each node, until
    the agents of the observers have come to their end. Where P(foundation.testbed.live#callback) knows of a
    terminal, that is a view which is drawn anew every second; else a line every few seconds.
  - Ends early when the user interrupts, or when one of the plan's C(abort_conditions) has held for its time;
    then the nodes are to be healed. The reason is in C(run.json), as C(stopped).
  - Aim it at all observers; the first of them speaks. A connection that fails stops nothing, as the run needs
    none.
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
  start_wall_ns:
    description: The start instant in nanoseconds since the epoch, as M(foundation.testbed.admit) returned it.
    type: int
    required: true
  interval_s:
    description: Seconds between two lines where there is no terminal.
    type: float
    default: 2
"""

EXAMPLES = r"""
- name: Show what goes on until the plan has ended
  foundation.testbed.watch:
    folder: "{{ hostvars['localhost'].testbed_run.folder }}"
    plan: "{{ hostvars['localhost'].testbed_run.plan }}"
    start_wall_ns: "{{ hostvars['localhost'].testbed_admission.start_wall_ns }}"
"""

RETURN = r"""
finished:
  description: >-
    Whether the agent had come to its end; false when it had not by 30 seconds after the time for the final
    read.
  returned: success
  type: bool
stopped:
  description: Whether the run is to end before its time.
  returned: success
  type: bool
"""
