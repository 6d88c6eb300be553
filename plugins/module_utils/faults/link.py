# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Link: packets from this node to some of its peers are delayed, lost, doubled, damaged, reordered, slowed.

Two backends do the same (docs/faults/link.md): tc netem where the kernel has it and nobody else's qdisc is at
the root of the device; else packets are handed to a queue of netfilter, which a program of ours empties.
There the kernel itself begins and ends it at whole seconds, as with a partition.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Context,
    Fault,
    Row,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import DISCARD, Probe, pings
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    many,
    names,
    number,
    parse_duration,
    parse_rate,
    percentage,
    shown,
    whole,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _netem,
    _nfqueue,
    _nft,
    _queue_rules,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._cut_rules import matches
from ansible_collections.foundation.testbed.plugins.module_utils.faults._departures import device_to
from ansible_collections.foundation.testbed.plugins.module_utils.faults._impairment import Impairment
from ansible_collections.foundation.testbed.plugins.module_utils.faults._measure import Measurement
from ansible_collections.foundation.testbed.plugins.module_utils.faults._peers import peer_address
from ansible_collections.foundation.testbed.plugins.module_utils.faults._table_name import table_name

NETEM, NFQUEUE = "netem", "nfqueue"
# Seconds before the start at which the program that holds packets is started, and its rules are loaded.
LEAD_S = 2.0
# Seconds after the planned end at which the rules match nobody whatever the clock says.
TIMEOUT_MARGIN_S = 0.5
# The longest delay, jitter included.
MAX_DELAY_S = 60.0
# Seconds in which every peer has to answer again after the end.
RECOVERY_S = 5.0
IMPAIRMENTS = ("delay", "loss", "duplicate", "corrupt", "reorder", "rate")
_NETEM_NAMES = "tc netem; NFQUEUE with bypass and a program of ours where the kernel has none"
_MEASURED = "own probes as they leave the network device"


class Link(Fault):
    """The impaired links of one run as this node sees them.

    Program: `affected` (addresses by peer), `protocol`, `ports`, `seed`, `backend` if one is asked for, and
    the parameters of the impairment, percentages as the user gave them.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "delay": Parameter(parse_duration, "time by which every packet is delayed"),
        "jitter": Parameter(parse_duration, "how far the delay varies: half the width, or one deviation"),
        "distribution": Parameter(
            choice("uniform", "normal", "pareto"), "how the jitter is distributed (uniform by default)"
        ),
        "loss": Parameter(percentage, "percentage of packets that are lost"),
        "loss_burst": Parameter(
            number(1, 10_000), "mean number of packets lost in a row; each by itself without it"
        ),
        "duplicate": Parameter(percentage, "percentage of packets that arrive twice"),
        "corrupt": Parameter(percentage, "percentage of packets in which one bit is flipped"),
        "reorder": Parameter(percentage, "percentage of packets that overtake those that are delayed"),
        "rate": Parameter(parse_rate, "bits a second that pass"),
        "peers": Parameter(names, "towards these names or addresses only (all other nodes by default)"),
        "protocol": Parameter(choice("tcp", "udp", "icmp"), "packets of this protocol only"),
        "ports": Parameter(many(whole(1, 65535)), "packets from and to these ports only (tcp by default)"),
        "backend": Parameter(choice(NETEM, NFQUEUE), "do it this way only (what the node has by default)"),
    }
    catalogue: ClassVar[Sequence[Row]] = (
        Row("link: delay", "delay: 50ms", _NETEM_NAMES, f"{_MEASURED}: when"),
        Row(
            "link: jitter",
            "delay: 50ms, jitter: 10ms, distribution: normal",
            "the same",
            "the same",
        ),
        Row("link: loss", "loss: 20", "the same", f"{_MEASURED}: how many"),
        Row("link: bursts of losses", "loss: 5, loss_burst: 10", "the same, two states", "the same"),
        Row("link: duplication", "duplicate: 5", "the same", f"{_MEASURED}: how often"),
        Row("link: corruption", "corrupt: 2", "the same, one bit", f"{_MEASURED}: what"),
        Row("link: reordering", "delay: 50ms, reorder: 25", "the same", f"{_MEASURED}: when"),
        Row("link: rate limit", "rate: 1mbit", "the same", f"{_MEASURED}: how fast a train of them"),
        Row("link: several of these at once", "delay: 20ms, loss: 1, rate: 10mbit", "the same", "the same"),
        Row(
            "link: a peer, a protocol or a port only",
            "delay: 50ms, peers: [n2], ports: [2380]",
            "the same",
            "the same",
        ),
        Row("message loss", "loss: 10, peers: [n2], ports: [2380]", "the same", "the same"),
    )

    def __init__(self, context: Context):
        super().__init__(context)
        self.table = table_name(context.run, context.fault_id)
        self.handle = _netem.handle_of(self.table)
        self.peers: list[str] = list(self.program["affected"].values())
        self.match = matches(self.program.get("protocol"), self.program.get("ports", []))
        self.end_s = context.end_wall_ns / 1e9
        self.queue: Optional[int] = None
        self.child: Optional[subprocess.Popen[bytes]] = None
        self.measurement: Optional[Measurement] = None
        self.probe: Optional[Probe] = None
        self.served_by = ""
        self.reason = ""

    @staticmethod
    def problems(params: Mapping[str, Any]) -> Iterable[str]:
        """One impairment at least; what belongs to another needs it."""
        if not any(params.get(key) for key in IMPAIRMENTS):
            yield f"given no impairment; allowed: at least one of {', '.join(IMPAIRMENTS)}"
        for key, needed in (
            ("jitter", "delay"),
            ("reorder", "delay"),
            ("distribution", "jitter"),
            ("loss_burst", "loss"),
        ):
            if params.get(key) and not params.get(needed):
                yield f"{key}: given {shown(params[key])} without {needed}; allowed: beside {needed}"
        delay_s, jitter_s = params.get("delay") or 0.0, params.get("jitter") or 0.0
        if delay_s and jitter_s > delay_s:
            yield f"jitter: given {jitter_s:g} s; allowed: at most the delay, {delay_s:g} s"
        if delay_s + jitter_s > MAX_DELAY_S:
            yield f"delay: given {delay_s + jitter_s:g} s with its jitter; allowed: at most {MAX_DELAY_S:g} s"
        asked = Impairment.of(params)
        if asked.loss_burst and asked.burst_begin > 1:
            least = asked.loss / (1 - asked.loss)
            yield (
                f"loss_burst: given {asked.loss_burst:g} beside a loss of {params['loss']:g} %; "
                f"allowed: {least:.2f} or more"
            )
        if params.get("ports") and params.get("protocol", "tcp") == "icmp":
            yield "protocol: given 'icmp' beside ports; allowed: tcp, udp"

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Every chosen node's outgoing links: to the peers that were named, or to all other nodes."""
        cluster = targets.cluster
        known = {**cluster.nodes, **cluster.observers}
        asked = {key: value for key, value in params.items() if key != "peers" and value}
        if "ports" in asked:
            asked.setdefault("protocol", "tcp")
        programs = {}
        for name in targets.chosen:
            others = params.get("peers") or list(cluster.nodes)
            affected = {
                peer: peer_address(peer, known, cluster.management, known[name])
                for peer in others
                if peer != name
            }
            if affected:
                programs[name] = {**asked, "affected": affected, "seed": targets.draw.getrandbits(48)}
        if not programs:
            raise ValueError("peers: no link would be impaired; allowed: other peers, or more nodes")
        return programs

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Why neither backend works here, or not the one that is asked for; changes nothing."""
        backend, reasons = choose(program)
        return several_devices(program["affected"]) if backend else reasons

    @functools.cached_property
    def backend(self) -> str:
        """The backend that is to serve; NFQUEUE where none works, to fail with its own words."""
        return choose(self.program)[0] or NFQUEUE

    @property
    def _ahead(self) -> bool:
        """Whether the kernel begins and ends it: by NFQUEUE, at whole seconds."""
        whole_seconds = self.context.start_wall_ns % 10**9 == 0 and self.context.end_wall_ns % 10**9 == 0
        return self.context.scheduled and whole_seconds and self.backend == NFQUEUE

    @property
    def lead_s(self) -> float:
        """The program is started and the rules are loaded ahead where the kernel begins it."""
        return LEAD_S if self._ahead else 0.0

    @property
    def lapses(self) -> bool:
        """The kernel ends it at the planned instant where it began it."""
        return self._ahead

    @property
    def feels(self) -> bool:
        """Whether a probe tells that packets are being held."""
        return self._ahead

    @property
    def evidence_kind(self) -> str:
        """Shares, delays and rates are measured from the beginning."""
        return "sum"

    def felt(self) -> bool:
        """Whether a packet to the first peer comes to the program right now."""
        if self.probe is None:
            return False
        before = _seen(self.table)
        self.probe.passes(self.peers[0])
        after = _seen(self.table)
        return before is not None and after is not None and after > before

    def undo(self) -> dict[str, Any]:
        """The table, which names the program as well, and the handle of a tree of netem."""
        return {"trace": self.table, "handle": self.handle, "backend": self.served_by or self.backend}

    def apply(self) -> None:
        """Impair the links; raises when the kernel refuses."""
        asked = Impairment.of(self.program)
        span_s = (self.context.end_wall_ns - self.context.start_wall_ns) / 1e9
        self.measurement = Measurement(asked, self.program, span_s, self.context.observe_every_s)
        self.measurement.baseline()
        ports = self.program.get("ports") or [DISCARD]
        self.probe = Probe(self.program.get("protocol") or "udp", ports[0])
        if self.backend == NETEM and self._applied_by_netem():
            return
        self.served_by = NFQUEUE
        left_s = self.end_s - time.time()
        self.child, self.queue = _nfqueue.begin(self.table, self.program, left_s)
        window_s = None
        if self._ahead:
            window_s = (self.context.start_wall_ns // 10**9, self.context.end_wall_ns // 10**9)
        _queue_rules.load(self.table, self.peers, self.match, self._timeout_ms(), self.queue, window_s)

    def _applied_by_netem(self) -> bool:
        """Install the tree; returns False where something is at the root of the device by now."""
        device = self._device()
        taken = _netem.occupied(device)
        if taken and self.program.get("backend") != NETEM:
            self.reason = taken
            return False
        _queue_rules.load(self.table, self.peers, self.match, self._timeout_ms())
        try:
            _netem.install(device, self.handle, self.program)
        except RuntimeError as error:
            _nfqueue.release_all()
            _nft.delete(_queue_rules.FAMILY, self.table)
            if self.program.get("backend") == NETEM or not _netem.occupied(device):
                raise
            self.reason = str(error)  # another fault was quicker
            return False
        self.served_by = NETEM
        if self.measurement is not None:
            self.measurement.departures.headers_too = True
        return True

    def _device(self) -> str:
        return self.measurement.device if self.measurement else ""

    def _timeout_ms(self) -> int:
        return max(1, int((self.end_s - time.time() + TIMEOUT_MARGIN_S) * 1000))

    def observe(self) -> None:
        """Send probes to one of the peers, and see how the earlier ones left."""
        if self.measurement is not None:
            self.measurement.observe()

    def evidence(self) -> dict[str, Any]:
        """Whether it is in place, what was counted, and what was measured against what was asked."""
        if self.measurement is None:
            return {"present": False, "effective": False, "backend": self.served_by}
        elements = len(self.peers) if time.time() < self.end_s else 0
        rules = _queue_rules.look(self.table, len(self.match), elements, self.queue)
        if self.served_by == NETEM:
            ports = self.program.get("ports", [])
            filters = len(_netem.selectors(self.program.get("protocol"), ports)) * len(self.peers)
            counted: dict[str, Any] = _netem.look(self._device(), self.handle, filters)
            there = counted.pop("present")
        else:
            counted = _nfqueue.ask(self.table, "stats") or {}
            there = counted.get("queue", -1) == self.queue
        measured = self.measurement.result(alone=len(_nft.tables(_queue_rules.FAMILY)) == 1)
        return {
            "present": rules["present"] and there,
            "effective": measured["effective"],
            "backend": self.served_by,
            **({"backend_reason": self.reason} if self.reason else {}),
            "packets": {"out": counted.get("dropped", 0)},
            "counted": {"matched": rules["packets"], **counted},
            "measured": measured,
        }

    @staticmethod
    def revert(undo: dict[str, Any]) -> None:
        """Remove what bears the fault's name: its rules, its program, its tree."""
        table = undo["trace"]
        ours = _nft.tables(_queue_rules.FAMILY)
        queued = table in ours and _queue_rules.queues(table)
        if table in ours:
            _nft.nft("flush", "chain", _queue_rules.FAMILY, table, "impaired")
        _nfqueue.ask(table, "end")
        if table in ours:
            _nfqueue.release_all(but=table)
            _nft.delete(_queue_rules.FAMILY, table)
        if not queued:  # else a tree of that handle is another fault's
            _netem.remove(undo["handle"])

    @staticmethod
    def leftovers() -> list[dict[str, Any]]:
        """Every table that bears this testbed's prefix, and every tree that has lost its table."""
        found = [
            {"trace": table, "handle": _netem.handle_of(table)} for table in _nft.tables(_queue_rules.FAMILY)
        ]
        known = {undo["handle"] for undo in found}
        return found + [
            {"trace": f"qdisc {handle} of {device}", "handle": handle}
            for handle, device in _netem.trees()
            if handle not in known
        ]

    async def recovered(self) -> bool:
        """Whether every peer answers again within five seconds."""
        if self.measurement is not None:
            self.measurement.departures.close()
        if self.probe is not None:
            self.probe.close()
        if self.child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.communicate(timeout=1)
        return await pings(self.peers, RECOVERY_S)


def several_devices(affected: Mapping[str, str]) -> list[str]:
    """Reasons why the peers cannot be served at once: one device is impaired, and measured."""
    devices = {peer: device_to(address) or "no device" for peer, address in affected.items()}
    if len(set(devices.values())) <= 1:
        return []
    shown_by_peer = ", ".join(f"{peer} behind {device}" for peer, device in devices.items())
    return [f"peers: given {shown_by_peer}; allowed: peers behind one device, a fault for each device"]


def choose(program: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the backend for a program on this node, none with the reasons where none works; asks only."""
    wanted = program.get("backend")
    match = matches(program.get("protocol"), program.get("ports", []))
    reasons = []
    for backend in (NETEM, NFQUEUE):
        if wanted in (None, backend):
            found = _queue_rules.reasons(match, queue=backend == NFQUEUE)
            if backend == NETEM:
                found = found or _netem.reasons(dict(program))
            if not found:
                return backend, []
            reasons += [f"{backend}: {reason}" for reason in found]
    return "", reasons


def _seen(table: str) -> Optional[int]:
    answer = _nfqueue.ask(table, "stats")
    return None if answer is None else int(answer["seen"])


FAULT = Link
