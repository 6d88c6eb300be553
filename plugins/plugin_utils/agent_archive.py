# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The agent as one file: all node-side code and every system's client in a zip that Python runs as it is.

The power program of the nodes' providers is packed likewise.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ansible_collections.foundation.testbed.plugins.plugin_utils.python_archive import packed

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = PurePosixPath("ansible_collections/foundation/testbed")
PACKAGES = ("agent", "faults", "load", "monitor", "network")
POWER_PACKAGES = ("agent", "lab")

_MAIN = """import sys
from ansible_collections.foundation.testbed.plugins.module_utils.{module} import main
sys.exit(main(sys.argv[1:]))
"""


def agent_files(root: Path = ROOT) -> dict[str, bytes]:
    """Content of the archive by path in it; every folder is a package."""
    clients = list(root.glob("roles/*/files/client*.py"))
    return _files(root, [*_sources(root, PACKAGES), *clients], "agent.cli")


def _sources(root: Path, packages: Iterable[str]) -> list[Path]:
    module_utils = root / "plugins" / "module_utils"
    return [path for package in packages for path in (module_utils / package).rglob("*.py")]


def _files(root: Path, sources: Iterable[Path], main: str) -> dict[str, bytes]:
    files = {str(NAMESPACE / path.relative_to(root).as_posix()): path.read_bytes() for path in sources}
    folders = {parent for name in files for parent in PurePosixPath(name).parents if parent.name}
    return {
        "__main__.py": _MAIN.format(module=main).encode(),
        **{str(folder / "__init__.py"): b"" for folder in folders},
        **files,
    }


def agent_archive(root: Path = ROOT) -> bytes:
    """Return the archive's bytes."""
    return packed(agent_files(root))


def power_archive(root: Path = ROOT) -> bytes:
    """Return the bytes of the power program's archive."""
    return packed(_files(root, _sources(root, POWER_PACKAGES), "lab.desk"))
