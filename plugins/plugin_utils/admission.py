# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a run may start: what the nodes answered before anything was broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus

# A plan is refused where clocks differ by more than this: nodes would not act at one instant.
MAX_CLOCK_OFFSET_MS = 250.0
NO_NODES = "none of the nodes answers; make them with playbooks/provision.yml, as make demo does"
BEFORE_THE_START = "The run was interrupted by the user before it began."


@dataclass
class Admission:
    """Reasons not to start, and the exit status that the first of them asks for."""

    reasons: list[str] = field(default_factory=list)
    status: ExitStatus = ExitStatus.PASS

    def refuse(self, reason: str, status: ExitStatus) -> None:
        """Add a reason; the first one decides the status."""
        self.reasons.append(reason)
        self.status = self.status or status


def admit(answers: Mapping[str, Mapping[str, Any]], clock_offset_ms: Mapping[str, float]) -> Admission:
    """Judge the answers of `foundation.testbed.preflight`, by host."""
    admission = Admission()
    if answers and all(answer.get("unreachable") for answer in answers.values()):
        why = _first_line(next(iter(answers.values())))
        admission.refuse(f"{', '.join(answers)}: {NO_NODES} ({why})", ExitStatus.UNREACHABLE)
        answers = {}
    for host, answer in answers.items():
        if answer.get("unreachable"):
            admission.refuse(f"{host} is unreachable: {_first_line(answer)}", ExitStatus.UNREACHABLE)
        elif answer.get("failed") or "blockers" not in answer:
            admission.refuse(f"{host} cannot run: {_first_line(answer)}", ExitStatus.TESTBED_FAILED)
        else:
            for reason in answer["blockers"]:
                admission.refuse(f"{host} cannot run: {reason}", ExitStatus.TESTBED_FAILED)
            for reason in answer["incapable"]:
                admission.refuse(f"{host} cannot do {reason}", ExitStatus.BAD_INPUT)
            for key, problem in (answer.get("queries") or {}).items():
                admission.refuse(f"{key}: Prometheus on {host} says: {problem}", ExitStatus.BAD_INPUT)
            for reason in answer["unhealthy"]:
                admission.refuse(
                    f"{host} was not healthy before the run: {reason}", ExitStatus.CLUSTER_NOT_HEALTHY
                )
    for host, offset_ms in clock_offset_ms.items():
        if abs(offset_ms) > MAX_CLOCK_OFFSET_MS:
            admission.refuse(
                f"the clock of {host} is {offset_ms:+.0f} ms from this machine's; allowed: "
                f"{MAX_CLOCK_OFFSET_MS:.0f} ms",
                ExitStatus.TESTBED_FAILED,
            )
    return admission


def refuse_living(admission: Admission, runs: Sequence[str]) -> None:
    """Refuse where the provider still does something to the nodes for other runs."""
    for run in runs:
        admission.refuse(
            f"the power program of the run {run} still goes on; wait for its end, or heal",
            ExitStatus.TESTBED_FAILED,
        )


def refuse_unsteady(admission: Admission, steady: Sequence[Mapping[str, Any]]) -> None:
    """Refuse where the steady state does not hold before the run, or nobody can say whether it does."""
    for entry in steady:
        if entry["held"] is None:
            admission.refuse(f"the steady state is not known: {entry['reason']}", ExitStatus.TESTBED_FAILED)
        elif not entry["held"]:
            admission.refuse(
                f"the steady state did not hold before the run: {entry['reason']}",
                ExitStatus.CLUSTER_NOT_HEALTHY,
            )


def clock_offsets_ms(
    answers: Mapping[str, Mapping[str, Any]], asked_ns: int, answered_ns: int
) -> dict[str, float]:
    """How far each node's clock is outside the span in which it was asked (0 inside it), in ms."""
    offsets = {}
    for host, answer in answers.items():
        if "wall_ns" in answer:
            wall_ns = int(answer["wall_ns"])
            nearest = min(max(wall_ns, asked_ns), answered_ns)
            offsets[host] = (wall_ns - nearest) / 1e6
    return offsets


def start_instant(now_ns: int, preflight_s: float) -> int:
    """Choose a whole second far enough ahead.

    Staging takes about as long as the preflight did, and what it starts (agents, generators) as long again.
    """
    return int(now_ns / 1e9 + 2 * preflight_s + 2.0) * 10**9


def _first_line(answer: Mapping[str, Any]) -> str:
    return (str(answer.get("msg") or "it gave no answer").strip().splitlines() or ["it gave no answer"])[0]
