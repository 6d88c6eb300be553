# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what a user names as a scenario: a scenario's file, or an experiment of the Chaos Toolkit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed
from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit import is_experiment, translate
from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit_activities import Surroundings
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import Scenario, load_scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import (
    InputError,
    parse_model,
    read_yaml,
)


@dataclass(frozen=True)
class Importing:
    """How an experiment is imported."""

    allow_unmapped: bool = False
    # Nodes that commands without ssh are meant for.
    nodes: Sequence[str] = ()


@dataclass(frozen=True)
class Read:
    """A scenario; of an imported one its text, and what of the experiment is not in it."""

    scenario: Scenario
    text: str | None = None
    unmapped: Sequence[str] = ()


def read_scenario(path: Path, cluster: ClusterView, how: Importing) -> Read:
    """Read and check a scenario's file or an experiment; raises InputError with one line for each mistake."""
    data = read_yaml(path)
    if not is_experiment(data):
        return Read(load_scenario(path))
    for name in how.nodes:
        if name not in cluster.nodes:
            raise InputError([f"experiment_nodes: {not_allowed(name, cluster.nodes)}"])
    system = next(iter(sorted(cluster.workloads)), "")
    around = Surroundings(cluster.nodes, list(cluster.observers), list(how.nodes))
    try:
        done = translate(data, system, around)
    except InputError as error:
        raise InputError([f"{path.name}: {problem}" for problem in error.problems]) from None
    if done.unmapped and not how.allow_unmapped:
        hint = "nothing was run; -e allow_unmapped=true leaves out what is named above"
        raise InputError([f"{path.name}: {line}" for line in [*done.unmapped, hint]])
    plain = json.loads(json.dumps(done.scenario))  # Ansible's own kinds of text are none of YAML's
    text = "---\n" + yaml.safe_dump(plain, sort_keys=False, width=100, allow_unicode=True)
    return Read(parse_model(Scenario, plain, path.name), text, done.unmapped)
