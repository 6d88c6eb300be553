# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What systemd says of this node."""

from __future__ import annotations

import signal
import subprocess

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import service_units


@pytest.mark.parametrize("said", ["stopping", "running"])
def test_a_question_that_systemd_itself_cut_off_is_asked_again(monkeypatch, said):
    """A node that shuts down signals also what its agent starts meanwhile: no answer is not "it goes on"."""
    answers = [(-signal.SIGTERM, ""), (-signal.SIGTERM, ""), (1, f"{said}\n")]
    monkeypatch.setattr(
        service_units, "systemctl", lambda *_: subprocess.CompletedProcess([], *answers.pop(0), "")
    )
    assert service_units.stopping() is (said == "stopping")
    assert answers == []
