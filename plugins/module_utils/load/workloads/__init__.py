# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workloads by name. A workload turns a scheduled operation into arguments and knows what to read last."""

from __future__ import annotations

from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads.register import Register

WORKLOADS = {"register": Register}
