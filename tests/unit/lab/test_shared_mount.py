# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab's folder becomes a shared mount where the machine's own is none, and goes whoever stands in it."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import shared_mount
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError


@pytest.fixture
def ran(monkeypatch):
    """Commands that were run; `findmnt` says what `answers` holds, or that there is nothing."""
    commands, answers = [], {}

    def run(argv):
        commands.append(argv[:2] if argv[0] != "findmnt" else argv[:1])
        if argv[0] != "findmnt":
            return ""
        for option, answer in answers.items():
            if any(word.startswith(option) for word in argv):
                return answer
        raise LabError("findmnt: exit status 1")

    monkeypatch.setattr(shared_mount, "run", run)
    return commands, answers


@pytest.mark.parametrize(("propagation", "mounted"), [("shared\n", False), ("private\n", True)])
def test_only_where_nothing_is_shared_a_mount_is_made(ran, tmp_path, propagation, mounted):
    commands, answers = ran
    answers["--target"] = propagation
    shared_mount.ensure(tmp_path / "lab")
    made = [["mount", "--bind"], ["mount", "--make-shared"]] if mounted else []
    assert commands[1:] == made and (tmp_path / "lab").is_dir()


def test_what_is_mounted_goes_also_where_somebody_has_a_file_open(ran, tmp_path):
    commands, answers = ran
    shared_mount.remove(tmp_path)
    assert commands == [["findmnt"]]
    answers["--mountpoint"] = "/x"
    shared_mount.remove(tmp_path)
    assert commands[-1] == ["umount", "--lazy"]
