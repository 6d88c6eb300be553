# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Debian's kernel for machines that boot it without a boot loader, and what runs before their root"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run


def fetch(package: str, cache: Path) -> Path:
    """Unpack the newest kernel that `package` depends on, and a static busybox; returns the folder.

    Raises LabError.
    """
    folder = cache / _newest(package)
    if not folder.exists():
        building = folder.with_suffix(".building")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as packages:
            # apt's own user cannot write there, and says so
            run(["sh", "-c", 'cd "$0" && apt-get download -qq "$@"', packages, folder.name, "busybox-static"])
            for file in Path(packages).glob("*.deb"):
                run(["dpkg-deb", "--extract", str(file), str(building)])
        run([str(building / "bin/busybox"), "depmod", "-b", str(building), release(building)])
        building.rename(folder)
    return folder


def _newest(package: str) -> str:
    for refresh in (False, True):
        if refresh:
            run(["apt-get", "update", "-qq"])
        for line in run(["apt-cache", "depends", package]).splitlines():
            if "Depends: linux-image-" in line:
                return line.split()[-1]
    raise LabError(f"this machine's package sources have no {package}")


def release(kernel: Path) -> str:
    """Return the kernel's own name for itself."""
    return next((kernel / "lib/modules").iterdir()).name


def vmlinuz(kernel: Path) -> Path:
    """Return the kernel that boots."""
    (found,) = (kernel / "boot").glob("vmlinuz-*")
    return found


def in_order(dependencies: str, wanted: Sequence[str]) -> list[str]:
    """Files of modules out of the text of modules.dep, each after those that it needs.

    A wanted one that is not there is built into the kernel. Pure.
    """
    needs = {
        file: below.split() for file, below in (line.split(":", 1) for line in dependencies.splitlines())
    }
    files = {Path(file).name.split(".")[0].replace("-", "_"): file for file in needs}
    found: dict[str, None] = {}

    def add(file: str) -> None:
        for below in reversed(needs[file]):
            add(below)
        found[file] = None

    for name in wanted:
        if name in files:
            add(files[name])
    return list(found)


def lay_out(kernel: Path, top: Path, init: str, wanted: Sequence[str]) -> None:
    """Lay out what runs first: `init`, a shell script, busybox, and modules in the order to load them."""
    for name in ("bin", "modules", "dev", "proc", "sys", "new"):
        (top / name).mkdir(parents=True)
    shutil.copy2(kernel / "bin/busybox", top / "bin")
    (top / "init").write_text(init, encoding="utf-8")
    (top / "init").chmod(0o755)
    modules = kernel / "lib/modules" / release(kernel)
    early = in_order((modules / "modules.dep").read_text(encoding="utf-8"), wanted)
    for number, file in enumerate(early):
        shutil.copy(modules / file, top / "modules" / f"{number:03}-{Path(file).name}")


def pack(kernel: Path, top: Path, packed: Path) -> None:
    """Pack a folder as the kernel unpacks it before anything else."""
    names = "\n".join(str(path.relative_to(top)) for path in sorted(top.rglob("*")))
    with packed.open("wb") as file:
        done = subprocess.run(
            [str(kernel / "bin/busybox"), "cpio", "-o", "-H", "newc"],
            cwd=top,
            input=names.encode(),
            stdout=file,
            stderr=subprocess.PIPE,
            check=False,
        )
    if done.returncode != 0:
        raise LabError(f"cpio: exit status {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}")
