# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The services' own packages as a node has them: side by side on the path of imports."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROLES = Path(__file__).resolve().parents[2] / "roles"


def on_path() -> None:
    """Make testbed_service, foundation_service, mabeam_service, etcd_keeper and etcd_errors importable."""
    for folder in (ROLES / f"{role}/files" for role in ("etcd", "service", "foundation", "mabeam")):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    if "etcd_errors" not in sys.modules:
        spec = importlib.util.spec_from_file_location("etcd_errors", ROLES / "etcd/files/client_errors.py")
        sys.modules["etcd_errors"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
