# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a link is impaired as asked: probes that left this node, held against what they should have met."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import DISCARD
from ansible_collections.foundation.testbed.plugins.module_utils.faults._departures import (
    Departures,
    Tally,
    device_to,
    figures,
    span_s,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._impairment import (
    LINK_HEADER_BYTES,
    Impairment,
)

# Seconds that a probe is given beside its delay.
_GRACE_S = 0.5
# How often what is asked for should be met by probes, if it is rare; probes at once; their share of a rate.
_WANTED, _LEAST, _MOST, _SHARE = 12.0, 4, 100, 0.1
_PROBE_BITS = (20 + 8 + 48 + LINK_HEADER_BYTES) * 8
# Deviations of a count from what is expected that chance explains.
_DEVIATIONS = 4.0
# How far a delay may be from what was asked: so much of it, or so many seconds.
DELAY_SHARE, DELAY_S = 0.1, 0.002
# A median of the pareto table lies so many jitters below the delay.
_PARETO_MEDIAN = (2 ** (1 / 3) - 1.5) * 4 / 3
# Trains that measure a rate: every so many observations; bytes of a packet, seconds that one should last.
_TRAIN_EVERY, _TRAIN_BYTES, _TRAIN_S = 4, (200, 1000), 0.05
# How far the rate of a train may exceed the limit, and how slow the fastest may be.
_RATE_ABOVE, _RATE_BELOW = 1.2, 0.5


def early_s(asked: Impairment) -> float:
    """Return the delay below which a probe has overtaken those that wait; 0 where none can be told."""
    if not asked.reorder:
        return 0.0
    return max(asked.delay_s - asked.jitter_s, asked.delay_s / 4) / 2


def probes_at_once(asked: Impairment, span: float, every_s: float) -> int:
    """Return how many probes each observation sends, one every so many seconds of the fault's span.

    So many that the rarest share is met within the fault.
    """
    shares = [share for share in (asked.loss, asked.duplicate, asked.corrupt, asked.reorder) if share]
    if not shares:
        return 1
    observations = max(1.0, (span - 2 * asked.delay_s) / every_s)
    wanted = math.ceil(_WANTED / min(shares) / observations)
    if asked.rate_bps:
        wanted = min(wanted, int(asked.rate_bps * _SHARE * every_s / _PROBE_BITS))
    return max(_LEAST, min(_MOST, wanted))


def train_of(rate_bps: float) -> tuple[int, int]:
    """Return how many packets of how many bytes measure a rate."""
    small, large = _TRAIN_BYTES
    size = large if rate_bps >= 8 * large / _TRAIN_S else small
    return max(3, min(40, round(rate_bps * _TRAIN_S / 8 / size) + 1)), size


def expected(asked: Impairment) -> dict[str, float]:
    """Return the shares that should be met, of probes sent (loss) or left (all others)."""
    shares = {
        "loss": asked.loss, "duplicate": asked.duplicate, "corrupt": asked.corrupt, "reorder": asked.reorder
    }  # fmt: skip
    return {key: share for key, share in shares.items() if share}


def plausible(share: float, count: int, of: int, alone: bool, spread: float = 1.0) -> bool:
    """Whether chance explains `count` out of `of`; not `alone`, other faults may add to it.

    `spread` is the factor by which bursts widen the variance.
    """
    if not of or not count:
        return False
    slack = _DEVIATIONS * math.sqrt(of * share * (1 - share) * spread) + 1
    return count >= of * share - slack and (not alone or count <= of * share + slack)


def burst_spread(asked: Impairment) -> float:
    """Return by how much bursts widen the variance of a number of losses."""
    again = 1 - asked.burst_begin - asked.burst_end
    return (1 + again) / (1 - again) if asked.loss_burst and again < 1 else 1.0


def delay_right(asked: Impairment, measured_s: float, base_s: float, count: int, alone: bool) -> bool:
    """Whether a median delay is what was asked; what other faults or a rate add may make it longer."""
    wanted_s = asked.delay_s + asked.jitter_s * _PARETO_MEDIAN * (asked.distribution == "pareto")
    chance_s = _DEVIATIONS * 1.25 * asked.jitter_s / math.sqrt(max(count, 1))
    slack_s = max(DELAY_S, DELAY_SHARE * asked.delay_s) + chance_s
    found_s = measured_s - base_s
    return found_s >= wanted_s - slack_s and (
        not alone or bool(asked.rate_bps) or found_s <= wanted_s + slack_s
    )


class Measurement:
    """Probes to the peers of one fault and what came of them."""

    def __init__(self, asked: Impairment, program: Mapping[str, Any], span: float, every_s: float):
        self.asked = asked
        self.peers: list[str] = list(program["affected"].values())
        self.device = device_to(self.peers[0]) or ""
        ports = program.get("ports") or [DISCARD]
        self.departures = Departures(self.device, program.get("protocol") or "udp", ports[0])
        self.tally, self.base_s = Tally(), 0.0
        self.at_once = probes_at_once(asked, span, every_s)
        self.observations = 0
        self.alone = True
        self.rates_bps: list[float] = []

    def baseline(self) -> None:
        """Measure how long a probe takes to leave without the fault."""
        found = Tally()
        for peer in self.peers[:3]:
            self.departures.send(peer, 1)
        held_s = max((burst.held_s for burst in self.departures.bursts.values()), default=0.0)
        deadline = time.monotonic() + 0.02 + held_s
        while self.departures.bursts and time.monotonic() < deadline:
            time.sleep(0.001)
            self.departures.settle(0.0005, found, 0.0, (1.0, 1.0))
        self.departures.bursts.clear()
        self.departures.burst_of.clear()
        self.base_s = statistics.median(found.delays_s) if found.delays_s else 0.0

    def observe(self) -> None:
        """Send probes to the next peer, a train of them now and then."""
        peer = self.peers[self.observations % len(self.peers)]
        if self.asked.rate_bps and self.observations % _TRAIN_EVERY == 1:
            count, size = train_of(self.asked.rate_bps)
            self.departures.send(peer, count, copies=size // 8, train=True)
        else:
            self.departures.send(peer, self.at_once)
        self.observations += 1
        self._settle()

    def _settle(self) -> None:
        wait_s = _GRACE_S + self.asked.delay_s + 4 * self.asked.jitter_s
        loss = (self.asked.loss, 1 - self.asked.burst_end if self.asked.loss else 0.0)
        for train in self.departures.settle(wait_s, self.tally, early_s(self.asked), loss):
            left, lasted_s = span_s(train)
            lasted_s += 2 * self.asked.jitter_s
            if left >= 3 and lasted_s > 0:
                self.rates_bps.append((left - 1) * (train.size + LINK_HEADER_BYTES) * 8 / lasted_s)

    def result(self, alone: bool) -> dict[str, Any]:
        """Return `effective`, what is not as it was asked (`lacks`), and the figures.

        Not `alone` is a fault beside which another link fault is, or was.
        """
        self.alone = self.alone and alone
        self._settle()
        parts = {**self._shares(), **self._delay(), **self._rate()}
        lacks = [key for key, part in parts.items() if not part["right"]]
        return {"effective": not lacks, "lacks": lacks, **parts, "probes": figures(self.tally)}

    def _shares(self) -> dict[str, dict[str, Any]]:
        tally = self.tally
        counts = {
            "loss": (tally.sent - tally.left, tally.sent),
            "duplicate": (tally.doubled, tally.left),
            "corrupt": (tally.altered, round(tally.shown)),
            "reorder": (tally.overtook, tally.left),
        }
        found = {}
        for key, share in expected(self.asked).items():
            if key != "loss" and self.asked.loss >= 1:
                continue
            count, of = counts[key]
            spread = burst_spread(self.asked) if key == "loss" else 1.0
            found[key] = {
                "asked_percent": round(share * 100, 4),
                "measured_percent": round(count / of * 100, 4) if of else None,
                "of": of,
                "right": plausible(share, count, of, self.alone, spread),
            }
        return found

    def _delay(self) -> dict[str, dict[str, Any]]:
        if not self.asked.delay_s or self.asked.loss >= 1:
            return {}
        delays = self.tally.delays_s
        measured_s = statistics.median(delays) if delays else 0.0
        right = bool(delays) and delay_right(self.asked, measured_s, self.base_s, len(delays), self.alone)
        return {
            "delay": {
                "asked_ms": round(self.asked.delay_s * 1000, 3),
                "measured_ms": round(measured_s * 1000, 3) if delays else None,
                "before_ms": round(self.base_s * 1000, 3),
                "spread_ms": round(statistics.pstdev(delays) * 1000, 3) if delays else None,
                "of": len(delays),
                "right": right,
            }
        }

    def _rate(self) -> dict[str, dict[str, Any]]:
        if not self.asked.rate_bps or self.asked.loss >= 1:
            return {}
        asked_bps, rates = self.asked.rate_bps, self.rates_bps
        right = bool(rates) and statistics.median(rates) <= asked_bps * _RATE_ABOVE
        if self.alone and not self.asked.jitter_s:
            right = right and max(rates) >= asked_bps * _RATE_BELOW
        return {
            "rate": {
                "asked_kbit": round(asked_bps / 1000, 3),
                "measured_kbit": round(statistics.median(rates) / 1000, 3) if rates else None,
                "of": len(rates),
                "right": right,
            }
        }
