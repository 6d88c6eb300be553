# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue of faults as text, for docs/faults.md and docs/providers.md (`make docs`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Row,
    fault_class,
    fault_kinds,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._switches import SWITCHES, lacks

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
PROVIDERS_DOCUMENT = DOCUMENT.with_name("providers.md")
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
    return [_said(row, provider) for provider in PROVIDERS]


def _said(row: Row, provider: str) -> str:
    if provider in row.refused:
        return f"no: {row.refused[provider]}"
    return f"yes, with {row.needs[provider]}" if provider in row.needs else "yes"


def abilities() -> str:
    """Return what each provider and each power switch can do, fault by fault (Markdown)."""
    return "\n".join([*_matrix(), "", *_switches()])


def _matrix() -> Iterator[str]:
    yield "| kind | fault | container | vm | bare metal |"
    yield "|---|---|---|---|---|"
    for kind in fault_kinds():
        for row in fault_class(kind).catalogue:
            cells = [f"[`{kind}`](faults/{kind}.md)", row.fault, *_able(row)]
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _switches() -> Iterator[str]:
    actions = sorted({action for ability in SWITCHES.values() for action in ability.actions})
    yield f"| power switch | who it is | {' | '.join(f'`{action}`' for action in actions)} |"
    yield "|---|---|" + "---|" * len(actions)
    for name, ability in SWITCHES.items():
        cells = [f"no: {why}" if (why := lacks(action, name)) else "yes" for action in actions]
        yield f"| `{name}` | {ability.title} | {' | '.join(cells)} |"


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


def written(text: str, table: str | None = None) -> str:
    """Return a document with a table, the catalogue's, between its two marks; ValueError without them."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{catalogue() if table is None else table}\n\n{END}{after}"


def main() -> int:
    """Write docs/faults.md and docs/providers.md anew."""
    for document, table in ((DOCUMENT, catalogue()), (PROVIDERS_DOCUMENT, abilities())):
        document.write_text(written(document.read_text(encoding="utf-8"), table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
