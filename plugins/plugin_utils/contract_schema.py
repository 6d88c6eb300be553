# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The published JSON Schema of contracts, from the models (`make docs`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.plugin_utils.contract_file import Contract

DOCUMENT = Path(__file__).resolve().parents[2] / "schemas" / "contract.schema.json"


def schema_text() -> str:
    """Return the schema as it is published."""
    schema = Contract.model_json_schema(by_alias=True)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A contract of a service of the Foundation Testbed",
        **{key: value for key, value in schema.items() if key not in ("title", "description")},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write schemas/contract.schema.json anew."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(schema_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
