#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: judge
short_description: Judge a run from its records and write the report
description:
  - Puts together what M(foundation.testbed.collect) brought home, judges it, and writes C(results.json),
    C(junit.xml), C(summary.md), C(report.html) and C(series.json) into the folder of the run.
  - A run can be judged again at any time; nothing but its folder is needed.
  - The task fails unless the verdict is C(pass).
version_added: 0.1.0
extends_documentation_fragment: foundation.testbed.run_module
options:
  run:
    description: Name or path of a run, or C(latest).
    type: str
    required: true
  runs_dir:
    description: Folder that holds the runs.
    type: path
    required: true
requirements:
  - bokeh
  - numpy
"""

EXAMPLES = r"""
- name: Judge the newest run again
  foundation.testbed.judge:
    run: latest
    runs_dir: "{{ playbook_dir }}/runs"
"""

RETURN = r"""
verdict:
  description: The verdict, one of C(pass), C(fail) and C(unknown).
  returned: when there is such a run
  type: str
reasons:
  description: One sentence for everything that is not C(pass).
  returned: when there is such a run
  type: list
  elements: str
report:
  description: Path of the report on the controller.
  returned: when there is such a run
  type: str
testbed_exit:
  description: Exit status that the verdict asks for.
  returned: always
  type: int
  sample: 10
"""
