# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an impaired line does to a packet: pure, drawn from a seed, in the meanings of tc netem."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

# netem cuts its tables of distributions at so many standard deviations.
TAIL = 4.0
# What counts beside the IP packet against a rate, as for netem: the Ethernet header.
LINK_HEADER_BYTES = 14
# How many packets a line holds; with a rate as many as a network device, else its queue would be long.
LIMIT, LIMIT_WITH_RATE = 10_000, 1_000


@dataclass(frozen=True)
class Impairment:
    """What is asked of a line; shares from 0 to 1, 0 for nothing.

    `loss_burst` is the mean number of packets lost in a row; `reorder` the share that overtakes the waiting.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    distribution: str = "uniform"
    loss: float = 0.0
    loss_burst: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    rate_bps: float = 0.0

    @classmethod
    def of(cls, program: Mapping[str, Any]) -> Impairment:
        """Read it out of a node's program, whose percentages are those of the user."""
        shares = {key: program.get(key, 0) / 100 for key in ("loss", "duplicate", "corrupt", "reorder")}
        return cls(
            delay_s=program.get("delay", 0.0),
            jitter_s=program.get("jitter", 0.0),
            distribution=program.get("distribution", "uniform"),
            loss_burst=program.get("loss_burst", 0.0),
            rate_bps=program.get("rate", 0.0),
            **shares,
        )

    @property
    def limit(self) -> int:
        """How many packets the line holds; what comes beyond is dropped."""
        return LIMIT_WITH_RATE if self.rate_bps else LIMIT

    @property
    def needs_payload(self) -> bool:
        """Whether the whole packet has to be seen."""
        return self.corrupt > 0 or self.duplicate > 0

    @property
    def burst_begin(self) -> float:
        """Probability with which a burst of losses begins after a packet that was not lost."""
        if self.loss >= 1:
            return 1.0
        return self.loss / (1 - self.loss) / self.loss_burst if self.loss_burst else self.loss

    @property
    def burst_end(self) -> float:
        """Probability with which a burst ends after a lost packet."""
        if self.loss >= 1:
            return 0.0
        return 1 / self.loss_burst if self.loss_burst else 1 - self.loss


class Fate(NamedTuple):
    """When a packet leaves, when its second copy leaves if it has one, and the bit that is flipped."""

    due_s: float
    copy_due_s: Optional[float]
    flip: Optional[float]
    overtakes: bool


class Line:
    """One impaired line and its state: whether a burst of losses is on, and until when it is sending."""

    def __init__(self, impairment: Impairment, seed: str):
        self.asked = impairment
        self.draw = random.Random(seed)
        self.losing = False
        self.busy_until_s = 0.0

    def lost(self) -> bool:
        """Draw whether the next packet is lost: by itself, or by a chain of two states (Gilbert)."""
        asked = self.asked
        if not asked.loss:
            return False
        if not asked.loss_burst:
            return self.draw.random() < asked.loss
        if self.losing:
            self.losing = self.draw.random() >= asked.burst_end
            return True
        self.losing = self.draw.random() < asked.burst_begin
        return False

    def delay_s(self) -> float:
        """Draw the delay of the next packet."""
        asked = self.asked
        if not asked.jitter_s:
            return asked.delay_s
        if asked.distribution == "normal":
            by = max(-TAIL, min(TAIL, self.draw.gauss(0, 1)))
        elif asked.distribution == "pareto":
            by = min(TAIL, (self.draw.paretovariate(3) - 1.5) * 4 / 3)
        else:
            by = self.draw.uniform(-1, 1)
        return max(0.0, asked.delay_s + by * asked.jitter_s)

    def fate(self, now_s: float, length: int) -> Optional[Fate]:
        """Draw what becomes of a packet of so many bytes that comes now; None when it is lost."""
        if self.lost():
            return None
        asked, draw = self.asked, self.draw
        flip = draw.random() if asked.corrupt and draw.random() < asked.corrupt else None
        doubled = bool(asked.duplicate) and draw.random() < asked.duplicate
        overtakes = bool(asked.reorder) and draw.random() < asked.reorder
        due_s = now_s if overtakes else self._due_s(now_s, length)
        return Fate(due_s, self._due_s(now_s, length) if doubled else None, flip, overtakes)

    def _due_s(self, now_s: float, length: int) -> float:
        if not self.asked.rate_bps:
            return now_s + self.delay_s()
        took_s = (length + LINK_HEADER_BYTES) * 8 / self.asked.rate_bps
        self.busy_until_s = max(now_s, self.busy_until_s) + took_s
        return self.busy_until_s + self.delay_s()


def flipped(packet: bytes, where: float) -> bytes:
    """Return an IPv4 packet with one bit flipped behind its header, `where` of the way (0 to 1)."""
    header = (packet[0] & 0x0F) * 4
    bits = (len(packet) - header) * 8
    if bits <= 0:
        return packet
    bit = min(int(where * bits), bits - 1)
    changed = bytearray(packet)
    changed[header + bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)
