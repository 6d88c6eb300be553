# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The units that hold a topology through reboots: pure texts."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT
from ansible_collections.foundation.testbed.plugins.module_utils.network.part import NFQUEUE, Part

LAYOUT = "foundation-testbed-topology.service"
ROUTER = "foundation-testbed-router.service"
LATENCY = "foundation-testbed-latency.service"
ALL = (LAYOUT, ROUTER, LATENCY)

_PACKAGE = "ansible_collections.foundation.testbed.plugins.module_utils.network"
_INSTALL = "\n[Install]\nWantedBy=multi-user.target\n"


def units(part: Part) -> dict[str, str]:
    """Return the text of every unit that a node needs, by its name; none where there is nothing to hold."""
    return dict(_units(part))


def _units(part: Part) -> Iterator[tuple[str, str]]:
    if part.complete and not part.held_ms():
        return
    yield LAYOUT, _layout()
    if part.routed:
        yield ROUTER, _program("router", "Find another way when a link of the topology fails", nice=-10)
    if part.held_ms() and part.backend == NFQUEUE:
        yield LATENCY, _program("latency", "Hold what leaves over the links of the topology", nice=-15)


def _layout() -> str:
    return (
        "# Who may send frames to this node, whom it forwards for, how long its links hold packets.\n"
        "[Unit]\n"
        "Description=Lay out the topology of the testbed\n"
        "After=network-pre.target systemd-networkd.service\n"
        "Before=network-online.target\n"
        "\n[Service]\n"
        "Type=oneshot\n"
        "RemainAfterExit=yes\n"
        f"Environment=PYTHONPATH={AGENT}\n"
        f"ExecStart=/usr/bin/python3 -m {_PACKAGE}.layout up\n"
        f"ExecStop=/usr/bin/python3 -m {_PACKAGE}.layout down\n"
        "TimeoutStartSec=60\n" + _INSTALL
    )


def _program(name: str, about: str, nice: int) -> str:
    return (
        f"# {about}. A fault must not silence it before its time.\n"
        "[Unit]\n"
        f"Description={about}\n"
        f"BindsTo={LAYOUT}\n"
        f"After={LAYOUT}\n"
        "StartLimitIntervalSec=0\n"
        "\n[Service]\n"
        f"Environment=PYTHONPATH={AGENT}\n"
        f"ExecStart=/usr/bin/python3 -m {_PACKAGE}.{name}\n"
        f"Nice={nice}\n"
        "OOMScoreAdjust=-900\n"
        "Restart=always\n"
        "RestartSec=1\n" + _INSTALL
    )
