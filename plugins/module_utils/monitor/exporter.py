# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node's figures for Prometheus: node_exporter, and beside it what this node uses of its own limits.

A container sees its host in /proc, so that node_exporter's figures of processors and memory would be the
host's. Those of the node itself are written for node_exporter to serve, as often as it is asked. Where this
program ends, so does node_exporter: figures are then missing, never old.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import own_limits

EXPORTER = "/usr/bin/prometheus-node-exporter"
# Of a container only what its own namespaces show; the rest would be its host's.
OWN_COLLECTORS = ("filesystem", "netdev", "netstat", "sockstat", "textfile")
# Of a machine also its own. All that node_exporter can tell took half an emulated processor, once a second.
MACHINE_COLLECTORS = (*OWN_COLLECTORS, "cpu", "diskstats", "loadavg", "meminfo")

Figure = tuple[str, str, str, Optional[float]]


class DiskWrites:
    """Bytes that this node has written to disks since this program began, None where nobody counts them."""

    def __init__(self) -> None:
        self._seen = dict(self._by_process())
        self._sum = 0

    def total(self) -> Optional[float]:
        """Return the sum: of a machine what its kernel counts, of a container what its processes wrote.

        A process that lives for less than a second may be missed.
        """
        if not own_limits.in_container():
            blocks = own_limits.key_of(Path("/proc/vmstat").read_text(encoding="ascii"), "pgpgout")
            return None if blocks is None else blocks * 1024.0
        now = dict(self._by_process())
        self._sum += sum(max(written - self._seen.get(key, 0), 0) for key, written in now.items())
        self._seen = now
        return float(self._sum)

    @staticmethod
    def _by_process() -> Iterator[tuple[str, int]]:
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    text = (folder / "io").read_text(encoding="ascii")
                    yield folder.name, own_limits.key_of(text, "write_bytes") or 0


def figures(disk: DiskWrites, count: int) -> list[Figure]:
    """Return name, kind, meaning and value of each figure; None for what is not known."""
    return [
        (
            "testbed_cpu_seconds_total",
            "counter",
            "Processor time used by this node.",
            own_limits.cpu_used_s(),
        ),
        ("testbed_cpu_limit", "gauge", "Processors that this node may use.", own_limits.cpu_limit()),
        ("testbed_memory_used_bytes", "gauge", "Memory used by this node.", own_limits.memory_used()),
        ("testbed_memory_limit_bytes", "gauge", "Memory that this node may use.", own_limits.memory_limit()),
        ("testbed_pids_used", "gauge", "Tasks of this node.", own_limits.pids_used()),
        ("testbed_pids_limit", "gauge", "Tasks that this node may have.", own_limits.pids_limit()),
        ("testbed_disk_written_bytes_total", "counter", "Bytes this node wrote to disks.", disk.total()),
        ("testbed_figures_total", "counter", "How often these figures were written.", count),
    ]


def exposition(found: list[Figure]) -> str:
    """Return figures in Prometheus's text format; what is not known is left out."""
    return "".join(
        f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {value!r}\n"
        for name, kind, meaning, value in found
        if value is not None
    )


def exporter_command(address: str, folder: str, in_container: bool) -> list[str]:
    """Return the command of node_exporter."""
    chosen = OWN_COLLECTORS if in_container else MACHINE_COLLECTORS
    return [
        EXPORTER,
        f"--web.listen-address={address}",
        f"--collector.textfile.directory={folder}",
        "--log.level=warn",
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in chosen),
    ]


def main(arguments: list[str]) -> int:
    """Export at ADDRESS:PORT what is written to FOLDER every SECONDS, until node_exporter or this ends."""
    address, folder, seconds = arguments
    every_s = float(seconds)
    signal.signal(signal.SIGTERM, _leave)
    path = Path(folder) / "testbed.prom"
    disk, count = DiskWrites(), 0
    child = subprocess.Popen(exporter_command(address, folder, own_limits.in_container()))
    try:
        while child.poll() is None:
            count += 1
            _replace(path, exposition(figures(disk, count)))
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(every_s - time.monotonic() % every_s)
        return child.returncode or 1
    finally:
        child.terminate()


def _leave(_number: int, _frame: Optional[FrameType]) -> None:
    sys.exit(0)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="ascii")
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
