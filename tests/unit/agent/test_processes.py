# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Signals reach the very process that is meant, whatever the kernel offers for it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from dataclasses import replace

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import processes


@pytest.fixture
def child():
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


@pytest.mark.parametrize("number", [None, errno.ENOSYS, errno.EPERM])
def test_a_signal_arrives_also_where_no_descriptor_of_a_process_is_to_be_had(child, monkeypatch, number):
    """Linux has them since 5.3, and a container's filter may refuse them."""

    def refuse(pid):
        raise OSError(number, os.strerror(number))

    if number is not None:
        monkeypatch.setattr(os, "pidfd_open", refuse)
    process = processes.read_process(child.pid)
    assert not processes.send(replace(process, start=process.start - 1), signal.SIGKILL)
    assert processes.lives(process)
    assert processes.send(process, signal.SIGKILL)
    assert child.wait(timeout=10) == -signal.SIGKILL
    assert not processes.send(process, signal.SIGKILL)
