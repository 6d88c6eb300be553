# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What names resolve to on this node, as a process that starts now is answered."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Sequence
from typing import Optional

# How long an answer may take.
LOOKUP_S = 2.5

# What a name resolves to; None where nobody knows.
Answers = dict[str, Optional[list[str]]]


def parse_answers(output: str) -> list[str]:
    """Return the addresses out of `getent ahosts`, each once."""
    return list(dict.fromkeys(line.split()[0] for line in output.splitlines() if line.strip()))


def addresses_in(hosts: str, name: str) -> list[str]:
    """Return the addresses that a hosts file gives a name. Pure."""
    lines = [line.partition("#")[0].split() for line in hosts.splitlines()]
    found = (parts[0] for parts in lines if name.lower() in [part.lower() for part in parts[1:]])
    return list(dict.fromkeys(found))


def same(found: Optional[Sequence[str]], wanted: Optional[Sequence[str]]) -> bool:
    """Whether two answers are known and the same, in whichever order. Pure."""
    return found is not None and wanted is not None and set(found) == set(wanted)


class Lookups:
    """Names that are being resolved, each in a fresh process, all at once."""

    def __init__(self, names: Iterable[str]):
        self.processes = {
            one: subprocess.Popen(
                ["getent", "ahosts", one], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            for one in names
        }
        self.deadline = time.monotonic() + LOOKUP_S

    def done(self) -> bool:
        """Whether all have ended, or have had time enough; does not block."""
        ended = all(process.poll() is not None for process in self.processes.values())
        return ended or time.monotonic() > self.deadline

    def answers(self) -> Answers:
        """What the names resolve to; None for one that has taken too long: that is no answer."""
        found: Answers = {}
        for one, process in self.processes.items():
            ended = process.poll() is not None
            process.kill()  # does nothing to one that has ended
            output, _ = process.communicate()
            found[one] = (parse_answers(output) if process.returncode == 0 else []) if ended else None
        return found


def look_up(names: Iterable[str], timeout_s: float = LOOKUP_S) -> Answers:
    """Resolve names and wait for the answers; None for those that take longer."""
    running = Lookups(names)
    deadline = time.monotonic() + timeout_s
    while not running.done() and time.monotonic() < deadline:
        time.sleep(0.005)
    return running.answers()


def known_before(names: Iterable[str], found: Answers, hosts: str) -> Answers:
    """Return what names resolved to before: as looked up, else what the hosts file says, else None. Pure."""
    return {
        one: found[one] if found.get(one) is not None else addresses_in(hosts, one) or None for one in names
    }


def as_before(wanted: Answers, found: Answers) -> bool:
    """Whether names resolve as before; of one that nobody knows nothing can be said, so it does not. Pure."""
    return all(same(found.get(one), addresses) for one, addresses in wanted.items())
