# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that holds what a node sends over each of its links, where the kernel has no netem.

The rules that hand packets over say bypass: without this program they pass at once. It answers among the
programs of link faults: whoever takes a base chain away has it let go what it holds, which would be lost.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import sys
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.faults import _nfqueue
from ansible_collections.foundation.testbed.plugins.module_utils.network import layout, rules
from ansible_collections.foundation.testbed.plugins.module_utils.network import part as parts


class Lines:
    """All links of this node: a holder for each."""

    def __init__(self, holders: dict[str, _nfqueue.Holder]):
        self.holders = holders

    def take(self) -> None:
        """Take what is there on every line."""
        for holder in self.holders.values():
            holder.take()

    def release(self, everything: bool = False) -> None:
        """Let go what is due on every line, or everything."""
        for holder in self.holders.values():
            holder.release(everything)

    def until_due_s(self) -> float:
        """Return the seconds until the next packet is due on any line."""
        return min(holder.until_due_s() for holder in self.holders.values())

    def stats(self) -> dict[str, Any]:
        """Return what each line has counted, by next hop."""
        return {hop: holder.stats() for hop, holder in self.holders.items()}


def serve(lines: Lines, control: socket.socket) -> None:
    """Hold and release for ever."""
    by_socket = {holder.netlink: holder for holder in lines.holders.values()}
    watched = [*by_socket, control]
    while True:
        ready = select.select(watched, [], [], lines.until_due_s())[0]
        for one in ready:
            if one in by_socket:
                by_socket[one].take()
        lines.release()
        if control in ready:
            _nfqueue.answer(lines, control)


def main() -> int:
    """Hold the links of this node."""
    part = parts.read()
    if part is None or not part.held_ms():
        return 1
    _nfqueue.become_punctual()
    control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    control.bind(_nfqueue.control_name(rules.LATENCY_TABLE))
    held, queues = part.held_ms(), layout.queues_of(part)
    lines = Lines(
        {
            hop: _nfqueue.Holder({"delay": held[hop] / 1000}, range(queue, queue + 1))
            for hop, queue in queues.items()
        }
    )
    gc.collect()
    gc.disable()
    serve(lines, control)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
