# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nft, and the tables of this testbed's faults."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.faults._table_name import TABLE_PREFIX

SAMPLE = f"{TABLE_PREFIX}sample"
"""The table of scripts that are never loaded."""


def nft(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run nft."""
    return subprocess.run(
        ["nft", *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=20
    )


def refusals(script: str) -> list[str]:
    """Return why this node would not take a script, nothing where it would; asks only."""
    if shutil.which("nft") is None:
        return ["nftables is not installed"]
    done = nft("--check", "-f", "-", stdin=script)
    return [] if done.returncode == 0 else [f"the kernel refuses the rules: {done.stderr.strip()}"]


def load(script: str) -> None:
    """Load a script in one transaction; raises RuntimeError when the kernel refuses it."""
    _checked("-f", "-", stdin=script)


def delete(family: str, table: str) -> None:
    """Remove a table; raises RuntimeError when the kernel refuses."""
    _checked("delete", "table", family, table)


def listing(family: str, table: str) -> list[dict[str, Any]]:
    """Return what a table consists of, each part `{kind: {...}}`; nothing where it is absent."""
    return _parts("list", "table", family, table)


def tables(family: str) -> list[str]:
    """Return the tables of all faults of this node that are of a family."""
    names = [part["table"]["name"] for part in _parts("list", "tables", family) if "table" in part]
    return [name for name in names if name.startswith(TABLE_PREFIX)]


def _checked(*arguments: str, stdin: str = "") -> None:
    done = nft(*arguments, stdin=stdin)
    if done.returncode != 0:
        raise RuntimeError(f"nft: {done.stderr.strip()}")


def _parts(*arguments: str) -> list[dict[str, Any]]:
    said = nft("-j", *arguments).stdout
    return json.loads(said)["nftables"] if said.strip() else []
