# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.compile`."""

from __future__ import annotations

import os
import sys
import time
from hashlib import sha256
from pathlib import Path

import ansible
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.foundation.testbed.plugins.plugin_utils import run_folder
from ansible_collections.foundation.testbed.plugins.plugin_utils.agent_archive import agent_archive
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_view import cluster_view
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import (
    asked_of,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.importing import Importing, compiled
from ansible_collections.foundation.testbed.plugins.plugin_utils.monitoring import queries_of
from ansible_collections.foundation.testbed.plugins.plugin_utils.power_switches import unknown
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import write_json, write_text
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import find_scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.timeline import overview, timeline
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError


class ActionModule(ActionBase):
    """Compiles a scenario and makes the run's folder."""

    def run(self, tmp=None, task_vars=None):
        began_wall_ns = time.time_ns()
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            {
                "scenario": {"type": "str", "required": True},
                "runs_dir": {"type": "path", "required": True},
                "allow_unmapped": {"type": "bool", "default": False},
                "experiment_nodes": {"type": "list", "elements": "str", "default": []},
            }
        )
        try:
            cluster = cluster_view(task_vars)
            path = find_scenario(options["scenario"])
            how = Importing(options["allow_unmapped"], options["experiment_nodes"])
            read = compiled(path, cluster, how)
            switched = dict.fromkeys(node for fault in read.plan["faults"] for node in fault.get("power", {}))
            if problems := unknown(switched, task_vars["hostvars"]):
                raise InputError(problems)
        except InputError as error:
            return {**result, "failed": True, "msg": str(error), "testbed_exit": int(ExitStatus.BAD_INPUT)}
        if read.imported:
            Display().display(f"# {path.name}, as a scenario\n{read.imported}")
        for line in read.unmapped:
            Display().warning(f"{path.name}: left out: {line}")
        plan = read.plan
        Display().display(timeline(plan) if self._task.check_mode else overview(plan))
        result.update(
            plan=plan,
            systems=cluster.systems,
            faults={host: asked_of(plan, host) for host in [*cluster.nodes, *cluster.observers]},
            queries={plan["observers"][0]["name"]: queries_of(plan)},
            agent_sha256=sha256(agent_archive()).hexdigest(),
            changed=True,
        )
        if self._task.check_mode:
            return result
        folder = run_folder.create(
            Path(options["runs_dir"]),
            path.with_name("scenario.yml") if path.suffix == ".json" else path,
            read.text,
            {
                "scenario": plan["scenario"]["name"],
                "seed": plan["seed"],
                "began_wall_ns": began_wall_ns,
                "command": command_to_repeat(options["scenario"], task_vars),
                "provider": task_vars["hostvars"][next(iter(cluster.nodes))]["testbed_provider"],
                "versions": {"ansible": ansible.release.__version__, "python": sys.version.split()[0]},
            },
            plan["scenario"]["name"],
        )
        if read.imported:
            write_text(folder / "scenario.yml", read.imported)
        variables = folder / "role_variables.json"
        write_json(variables, plan.get("role_variables", {}))
        run_folder.mark_step(folder, "preflight")
        return {**result, "run": folder.name, "folder": str(folder), "variables_file": str(variables)}


def command_to_repeat(scenario: str, task_vars) -> str:
    """Return the command that runs the scenario, as the user named it, again on the same inventory."""
    sources = " ".join(
        f"-i {os.path.relpath(source)}" for source in task_vars.get("ansible_inventory_sources") or []
    )
    return f"ansible-playbook {sources} playbooks/run.yml -e scenario={scenario}".replace("  ", " ")
