# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue of faults as text: what the kinds say of themselves, for docs/faults.md (`make docs`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Row,
    fault_class,
    fault_kinds,
)

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
BEGIN, END = "<!-- begin: written by make docs -->", "<!-- end -->"
PROVIDERS = ("container", "vm", "baremetal")


def catalogue() -> str:
    """Return the table of all faults and, for each kind, the table of what it may be told (Markdown)."""
    return "\n".join([*_faults(), *_parameters()])


def _faults() -> Iterator[str]:
    yield "| fault | said as | container | vm | bare metal | mechanism | evidence |"
    yield "|---|---|---|---|---|---|---|"
    for kind in fault_kinds():
        for row in fault_class(kind).catalogue:
            cells = [row.fault, f"`{kind}`: `{row.example}`", *_able(row), row.mechanism, row.evidence]
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _able(row: Row) -> list[str]:
    return [f"no: {row.refused[provider]}" if provider in row.refused else "yes" for provider in PROVIDERS]


def _parameters() -> Iterator[str]:
    for kind in fault_kinds():
        yield f"\n### `{kind}`\n"
        yield "| key | default | meaning |"
        yield "|---|---|---|"
        for name, parameter in fault_class(kind).parameters.items():
            default = (
                "required" if parameter.required else "" if parameter.default is None else parameter.default
            )
            yield f"| `{name}` | {default} | {parameter.about} |"


def written(text: str) -> str:
    """Return a document with the catalogue between its two marks; raises ValueError without them."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{catalogue()}\n\n{END}{after}"


def main() -> int:
    """Write docs/faults.md anew."""
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
