# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The published JSON Schema of scenario files, from the models and what the kinds of fault say (`make docs`).

Editors complete and check scenarios with it. What no schema can say (which nodes there are, which times fit),
the compiler checks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import fault_class, fault_kinds
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    schema_of,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.conditions import Condition, shared_keys
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import Scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.specification import SPECIFICATION

DOCUMENT = Path(__file__).resolve().parents[2] / "schemas" / "scenario.schema.json"
Schema = dict[str, Any]


def scenario_schema() -> Schema:
    """Return the schema of a whole file."""
    schema = Scenario.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    own = Condition.model_json_schema(by_alias=True)["properties"]
    definitions.pop("Condition")
    definitions |= {f"condition_{key}": own[key] for key in shared_keys() if key != "type"}
    schema["properties"]["conditions"]["items"] = {
        "anyOf": [{"$ref": f"#/$defs/{kind}"} for kind in [*fault_kinds(), *SPECIFICATION]]
    }
    definitions |= {kind: _condition(kind) for kind in fault_kinds()}
    definitions |= {said: _said(said, parameters) for said, (parameters, _) in SPECIFICATION.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A scenario of the Foundation Testbed",
        **{key: value for key, value in schema.items() if key not in ("title", "description")},
    }


def _condition(kind: str) -> Schema:
    parameters = fault_class(kind).parameters
    shared = {key: {"$ref": f"#/$defs/condition_{key}"} for key in shared_keys() if key != "type"}
    return {
        "type": "object",
        "required": ["type", "for", *_required(parameters)],
        "anyOf": [{"required": ["at"]}, {"required": ["after"]}],
        "additionalProperties": False,
        "properties": {"type": {"const": kind}, **shared, **_properties(parameters)},
    }


def _said(said: str, parameters: Mapping[str, Parameter]) -> Schema:
    """Return the schema of a condition in the specification's own words."""
    inner = {
        "type": "object",
        "required": _required(parameters),
        "additionalProperties": False,
        "properties": _properties(parameters),
    }
    return {"type": "object", "required": [said], "additionalProperties": False, "properties": {said: inner}}


def _required(parameters: Mapping[str, Parameter]) -> list[str]:
    return [name for name, parameter in parameters.items() if parameter.required]


def _properties(parameters: Mapping[str, Parameter]) -> dict[str, Schema]:
    return {
        name: {**schema_of(parameter.parse), "description": parameter.about}
        for name, parameter in parameters.items()
    }


def schema_text() -> str:
    """Return the schema as it is published."""
    return json.dumps(scenario_schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write schemas/scenario.schema.json anew."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(schema_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
