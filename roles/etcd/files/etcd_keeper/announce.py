# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have a member that has just joined serve without delay.

etcd serves clients once it has seen its own address come by in the log. It proposes it as it starts; where a
snapshot has it already, it never comes by, and etcd waits for seven seconds (five, and two election
time-outs) before it proposes again. Started anew, it has the snapshot and is through at once.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable

from etcd_keeper.decisions import learns
from etcd_keeper.join import leader_of
from etcd_keeper.settings import Settings, announced_anew, keep_announced_anew, known

LOG = logging.getLogger("etcd-keeper")
PATIENCE_S = 0.5
"""Seconds that an announcement is given: one that is not lost takes a tenth of one."""
MAIN_PROCESS = ("systemctl", "show", "etcd.service", "--property=MainPID", "--value")


def kill_etcd() -> None:
    """Kill the node's etcd, which systemd starts anew; raises OSError, SubprocessError, ValueError."""
    said = subprocess.run(MAIN_PROCESS, capture_output=True, text=True, timeout=2.0, check=True).stdout
    if int(said) > 0:
        os.kill(int(said), signal.SIGKILL)


class Announcement:
    """Watches over the first announcement of a member; once for each."""

    def __init__(
        self,
        settings: Settings,
        start_anew: Callable[[], None] = kill_etcd,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._start_anew, self._clock = settings, start_anew, clock
        self._since: tuple[int, float] | None = None

    def look(self) -> None:
        """Look once, while the own member does not answer."""
        own = known(self._settings)
        if own is None or announced_anew(self._settings) == own.member_id:
            return
        _leader, listing = leader_of(self._settings)
        if not learns(own, self._settings.peer_url, listing):
            self._since = None
            return
        if self._since is None or self._since[0] != own.member_id:
            self._since = own.member_id, self._clock()
        if self._clock() - self._since[1] < PATIENCE_S:
            return
        keep_announced_anew(self._settings, own.member_id)
        LOG.info("%x has not seen its address come by: etcd is started anew", own.member_id)
        try:
            self._start_anew()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            LOG.info("etcd goes on as it is: %s", error)
