# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Node-side code runs on any node: Python 3.9, and nothing beyond its standard library."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted([*(ROOT / "plugins/module_utils").rglob("*.py"), *(ROOT / "plugins/modules").glob("*.py")])
# What Ansible itself sends to a node, with its own library: the modules and their common beginning.
FACES = {
    *(ROOT / "plugins/modules").glob("*.py"),
    ROOT / "plugins/module_utils/agent/ansible_module.py",
}
OURS = "ansible_collections.foundation.testbed.plugins.module_utils"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "plugins")))
def test_node_side_code_is_python_3_9_and_standard_library(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    newer = {"UTC", "StrEnum", "Self", "TaskGroup", "batched", "pairwise", "NotRequired"}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            assert not newer & {alias.name for alias in node.names}
        for name in names:
            allowed = name.startswith(OURS) or name.split(".")[0] in sys.stdlib_module_names
            assert allowed or (path in FACES and name.startswith("ansible.module_utils.")), name
        if isinstance(node, ast.Call):
            function = node.func.id if isinstance(node.func, ast.Name) else ""
            keywords = {keyword.arg for keyword in node.keywords}
            assert not (function == "zip" and "strict" in keywords), "zip(strict=) is younger than 3.9"
            assert not (function == "dataclass" and keywords & {"slots", "kw_only"})
