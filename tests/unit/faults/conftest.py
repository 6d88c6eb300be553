# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import random

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.faults import _file_damage


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file of 300,000 bytes with a hole in it; what is kept of damaged files is beside it."""
    monkeypatch.setattr(_file_damage, "BACKUPS", tmp_path / "backups")
    path = tmp_path / "data.log"
    path.write_bytes(random.Random(1).randbytes(1000))
    os.truncate(path, 299_000)
    with path.open("ab") as end:
        end.write(random.Random(2).randbytes(1000))
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18 + 7))
    return path
