# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Disk: a node's own disk gets slow, or fails. No node does this to itself: its provider does.

What the container provider does is `module_utils/lab/disk_fault.py`, on the machine that holds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import Fault, Row, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    whole,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._provider import (
    own_disk_lacks,
    programs,
)

NO_HAND = "the testbed has no hand on the disks of nodes of this provider yet"
# cgroup v2 takes no limit of a single operation a second.
IOPS = (2, 2000)
_ELSEWHERE = {"vm": NO_HAND, "baremetal": NO_HAND}


class Disk(Fault):
    """A disk that is slow or fails.

    Program: `action`, and `iops` where it is slow.
    """

    on_node: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "action": Parameter(
            choice("slow", "fail"), "whether the disk is slow or answers errors", required=True
        ),
        "iops": Parameter(whole(*IOPS), "slow: operations a second that the disk does"),
    }
    catalogue: ClassVar[Sequence[Row]] = (
        Row(
            "disk: I/O is slow",
            "action: slow, iops: 20, nodes: [n1]",
            "the kernel's limit for the node's own disk, from outside: blkio.throttle (v1), io.max (v2)",
            "the limit in place; trains of synced writes of ours, timed before, during and after",
            _ELSEWHERE,
        ),
        Row(
            "disk: I/O fails",
            "action: fail, nodes: [n1]",
            "ext4's shutdown of the node's own disk, from outside; a power cycle at the end",
            "attempts of ours to write answered with EIO; another boot id after",
            _ELSEWHERE,
        ),
    )

    @staticmethod
    def problems(params: Mapping[str, Any]) -> Iterable[str]:
        """A slow disk needs its speed, another has none."""
        if params["action"] == "slow" and "iops" not in params:
            yield "iops: is required for slow; allowed: a whole number from {} to {}".format(*IOPS)
        if params["action"] != "slow" and "iops" in params:
            yield f"iops: given for {params['action']}; allowed: with slow only"

    @staticmethod
    def takes_down(params: Mapping[str, Any]) -> bool:
        """A node whose disk fails is down: nothing that it does can last."""
        return bool(params["action"] == "fail")

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Every chosen node's part, for its provider; raises ValueError where that cannot."""
        return programs(params, targets, NO_HAND)

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Ask what the node was told by its provider."""
        return own_disk_lacks(program["action"] == "slow")


FAULT = Disk
