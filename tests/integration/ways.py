# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What befalls a node, or what holds its fault, while the fault is in place."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator

from ansible_collections.foundation.testbed.plugins.module_utils.lab.lab import Lab as ProviderLab
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import answers_ssh
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_container import ContainerSwitch
from fault_lab import Staged
from power_lab import StagedProvider, await_boot, paths_of
from support import Lab

# Seconds after the planned end at which nothing may be left; what is compared over ssh adds its own time.
GONE_WITHIN_S = 1.0
Either = Staged | StagedProvider


def plainly(staged: Either) -> None:
    """Nobody dies."""
    assert staged.finish(), "a ledger"


def holder_killed(staged: Either) -> None:
    """SIGKILL in mid-fault to what holds it.

    To the agent and all its helpers: gone at once, long before the planned end. To the provider's program:
    its spare goes on.
    """
    staged.wait_for(2.0)
    assert staged.ledger("apply") or staged.ledger("load"), "the fault had begun"
    staged.kill()
    staged.finish()


def ssh_cut(staged: Either) -> None:
    """Nobody reaches the node by ssh from before the end until after it."""
    address = staged.lab.variables(staged.node)["ansible_host"]
    staged.wait_for(1.5)
    subprocess.run(["ip", "route", "add", "blackhole", f"{address}/32"], check=True)
    try:
        assert not answers_ssh(address), "ssh is cut"
        staged.wait_for(max(each["end_s"] for each in staged.program["faults"]) + GONE_WITHIN_S)
    finally:
        subprocess.run(["ip", "route", "del", "blackhole", f"{address}/32"], check=True)
    staged.finish()


def power_cut(staged: Either) -> None:
    """The node loses its power in mid-fault and boots again."""
    staged.wait_for(2.0)
    power_cycle(staged.lab, staged.node)
    if isinstance(staged, StagedProvider):
        staged.finish()


def power_cycle(lab: Lab, name: str) -> None:
    """Cut a node's power and boot it again, with its limits; returns once its recovery has ended."""
    paths = paths_of(lab, name)
    switch = ContainerSwitch(paths, name)
    limits = switch.note()
    with ProviderLab(paths).locked():
        switch.cut()
        switch.on(limits)
    await_boot(lab, name)


@contextlib.contextmanager
def full_disk(lab: Lab, node: str) -> Iterator[None]:
    """Fill the node's own disk to the last byte."""
    room = int(lab.on(node, "df --output=avail -B1 / | tail -1"))
    assert room < 4 * 2**30, "only a disk of the node's own may be filled"
    lab.on(
        node,
        "dd if=/dev/zero of=/filler bs=1M 2>/dev/null; dd if=/dev/zero of=/filler2 bs=1k 2>/dev/null; true",
    )
    try:
        yield
    finally:
        await_boot(lab, node)
        lab.on(node, "rm -f /filler /filler2")


WAYS: dict[str, Callable[[Either], None]] = {
    "plain": plainly,
    "holder killed": holder_killed,
    "ssh cut": ssh_cut,
    "reboot": power_cut,
}
