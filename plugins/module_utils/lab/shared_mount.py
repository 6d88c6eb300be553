# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab's folder as a shared mount: what is unmounted below it is unmounted in every node's namespace.

A node's mount namespace begins as a copy of this machine's. Where no mount is shared (without systemd),
it would hold the disks of all nodes that were there when it started, for as long as it lives.
"""

from __future__ import annotations

from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run


def ensure(folder: Path) -> None:
    """Have the folder lie in a shared mount: this machine's own, or one of ours; raises LabError."""
    folder.mkdir(parents=True, exist_ok=True)
    if "shared" not in run(["findmnt", "--noheadings", "--output=PROPAGATION", f"--target={folder}"]):
        run(["mount", "--bind", str(folder), str(folder)])
        run(["mount", "--make-shared", str(folder)])


def remove(folder: Path) -> None:
    """Unmount what `ensure` has mounted, if anything, whoever stands in it; raises LabError."""
    try:
        run(["findmnt", "--noheadings", f"--mountpoint={folder}"])
    except LabError:
        return
    run(["umount", "--lazy", str(folder)])
