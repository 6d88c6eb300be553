# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exit statuses of the playbooks, by cause. Ansible's own (1, 2, 4, 99, 250) keep their meaning."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What `ansible-playbook` returns when a playbook of this collection ends."""

    PASS = 0
    TESTBED_FAILED = 2
    UNREACHABLE = 4
    VERDICT_FAIL = 10
    VERDICT_UNKNOWN = 11
    BAD_INPUT = 12
    CLUSTER_NOT_HEALTHY = 13
