# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""libvirt on this machine: whether it answers, what runs, and a daemon of ours where there is none."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.cgroup import systemd_is_init
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run, wait_until

URI = "qemu:///system"
RUN_DIR = Path("/run/foundation-testbed-libvirt")
STARTS_S, STOPS_S = 60.0, 30.0
# Only its own daemon sees it: as root, libvirt need not ask QEMU anew at every start what it can, and leaves
# owners of files, control groups and namespaces alone.
QEMU_CONF = """user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""


def virsh(*words: str, timeout_s: float = 60.0) -> str:
    """Return what virsh says; raises LabError."""
    return run(["virsh", "-q", "-c", URI, *words], timeout_s=timeout_s)


def problem() -> Optional[str]:
    """Return why libvirt does not answer, None where it does."""
    try:
        virsh("version")
    except LabError as error:
        return str(error)
    return None


def running(name: str) -> bool:
    """Whether a machine runs; one that is not known does not."""
    return name in virsh("list", "--name").split()


def known(prefix: str) -> list[str]:
    """Machines that libvirt knows, running or not, whose names begin so."""
    return sorted(name for name in virsh("list", "--all", "--name").split() if name.startswith(prefix))


def cut(name: str) -> None:
    """Cut a machine's power; does nothing where it has none. Raises LabError."""
    if running(name):
        virsh("destroy", name)


def remove(name: str) -> None:
    """Cut a machine's power and forget it; does nothing where libvirt does not know it. Raises LabError."""
    cut(name)
    if name in known(name):
        virsh("undefine", name)


def needs_daemon() -> bool:
    """Whether `ensure` would start a daemon; raises LabError where somebody else has to."""
    why = problem()
    if why is not None and systemd_is_init():
        raise LabError(f"libvirt does not answer ({why}); start it: systemctl start libvirtd")
    return why is not None


def ensure() -> bool:
    """Start a daemon of ours where libvirt does not answer; returns whether that was so. Raises LabError."""
    if not needs_daemon():
        return False
    RUN_DIR.mkdir(mode=0o700, exist_ok=True)
    conf, log = RUN_DIR / "qemu.conf", RUN_DIR / "libvirtd.log"
    conf.write_text(QEMU_CONF, encoding="utf-8")
    # a mount namespace of its own, so that /etc stays as it is
    script = 'mount --bind "$0" /etc/libvirt/qemu.conf && exec libvirtd'
    with log.open("w", encoding="utf-8") as said:
        daemon = subprocess.Popen(  # pylint: disable=consider-using-with
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(conf)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    (RUN_DIR / "pid").write_text(str(daemon.pid), encoding="utf-8")
    if not wait_until(lambda: problem() is None, STARTS_S, 0.1):
        last = log.read_text(encoding="utf-8", errors="replace")[-500:]
        stop()
        raise LabError(f"libvirtd does not answer {STARTS_S:g} s after it was started: {last}")
    return True


def our_daemon() -> Optional[int]:
    """Return the process id of the daemon that `ensure` started, None where there is none."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((RUN_DIR / "pid").read_text(encoding="utf-8"))
        if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "libvirtd":
            return pid
    return None


def stop() -> None:
    """End the daemon that `ensure` started, if any; machines that run go on without it. Raises LabError."""
    pid = our_daemon()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: our_daemon() is None, STOPS_S):
            raise LabError(f"libvirtd ({pid}) still runs {STOPS_S:g} s after it was told to end")
    shutil.rmtree(RUN_DIR, ignore_errors=True)
