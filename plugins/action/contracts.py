# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.contracts`."""

from __future__ import annotations

import uuid
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.plugin_utils.contract_check import (
    broken,
    chosen,
    kept,
    places,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.contract_file import (
    contract_files,
    load_contract,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import write_json
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import read_system
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError


class ActionModule(ActionBase):
    """Reads the contracts of the node's systems, has them asked on the node, records and judges."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            {
                "testbed_id": {"type": "str", "required": True},
                "systems": {"type": "list", "elements": "str", "required": True},
                "only": {"type": "list", "elements": "str", "default": []},
                "results_dir": {"type": "path", "required": True},
            }
        )
        try:
            contracts = self._contracts(options["systems"], options["only"])
        except InputError as error:
            return {**result, "failed": True, "msg": str(error), "testbed_exit": int(ExitStatus.BAD_INPUT)}
        node, wanted = task_vars["inventory_hostname"], {s for c in contracts.values() for s in c.systems}
        services = {system: services_of(system, task_vars) for system in sorted(wanted)}
        unserved = {name for name, c in contracts.items() if not all(services[s] for s in c.systems)}
        args = {
            "testbed_id": options["testbed_id"],
            "unique": f"{node}.{uuid.uuid4().hex[:8]}",
            "services": places(node, {system: found for system, found in services.items() if found}),
            "contracts": {
                name: contract.model_dump() for name, contract in contracts.items() if name not in unserved
            },
        }
        asked = self._execute_module(
            "foundation.testbed.ask_contracts", module_args=args, task_vars=task_vars
        )
        results = asked.pop("clauses", None)
        if asked.get("failed") or results is None:
            return {"msg": "the node has not said what it found", **result, **asked, "failed": True}
        result |= {"changed": asked["changed"], "clauses": kept(results), "broken": broken(results)}
        result["not_checked"] = sorted(unserved)
        if not self._task.check_mode:
            record = Path(options["results_dir"]) / f"contracts-{node}.json"
            record.parent.mkdir(parents=True, exist_ok=True)
            write_json(record, {"node": node, "contracts": results, "not_checked": result["not_checked"]})
            result["record"] = str(record)
        if result["broken"]:
            result |= {"failed": True, "testbed_exit": int(ExitStatus.VERDICT_FAIL)}
            result["msg"] = "\n".join(result["broken"])
        return result

    @staticmethod
    def _contracts(systems, only):
        files = {path.stem: path for path in contract_files(systems)}
        return {name: load_contract(files[name]) for name in chosen(files, only)}


def services_of(system, task_vars):
    """Return the addresses of a system's service by node, in the order of the inventory."""
    port = read_system(system).ports["client"]
    nodes = task_vars["groups"].get(system, [])
    return {node: f"http://{task_vars['hostvars'][node]['testbed_address']}:{port}" for node in nodes}
