# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scenarios of a cluster of ten nodes, with kinds of faults of their own."""

from __future__ import annotations

from typing import ClassVar

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, Fault
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    parse_duration,
    percentage,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import compile_plan
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import Scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError, parse_model

NODES = {f"n{i}": f"10.0.0.{i}" for i in range(1, 11)}
CLUSTER = ClusterView(
    "t", NODES, {"o1": "10.0.1.1"}, {name: ["etcd"] for name in NODES}, {"etcd": ["register"]},
    states={"etcd": ["leader", "lag"]}, max_down=3,
    groups={"rack1": ["n1", "n2", "n3", "n4"], "rack2": ["n5", "n6", "n7", "n8", "n9", "n10"]},
)  # fmt: skip


class Down(Fault):
    """A kind that takes nodes down, from beside them."""

    on_node: ClassVar[bool] = False
    parameters: ClassVar = {"action": Parameter(choice("off"), "what", "off")}

    @staticmethod
    def takes_down(params):
        return True


class Slow(Fault):
    """A kind that a node does by itself."""

    parameters: ClassVar = {
        "delay": Parameter(parse_duration, "how long"), "jitter": Parameter(parse_duration, "how unsteady"),
        "loss": Parameter(percentage, "share"), "distribution": Parameter(choice("uniform"), "which"),
    }  # fmt: skip


def scenario(*entries, seed=1, duration="60s"):
    return {
        "name": "x", "system": "etcd", "seed": seed, "duration": duration, "workload": {"rate": 1},
        "conditions": list(entries), "success_criteria": {"error_rate": 1},
    }  # fmt: skip


def plan(*entries, **more):
    return compile_plan("x", parse_model(Scenario, scenario(*entries, **more), "x.yml"), CLUSTER)


def faults(*entries, **more):
    return plan(*entries, **more)["faults"]


def slow(**more):
    return {"type": "link", "at": "5s", "for": "10s", "delay": "50ms", **more}


def wrong(*entries, **more):
    with pytest.raises(InputError) as caught:
        faults(*entries, **more)
    (line,) = caught.value.problems
    return line
