# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records that come home are unpacked, or it is said why they are not."""

from __future__ import annotations

import tarfile

import pytest
from ansible_collections.foundation.testbed.plugins.action.collect import unpack


@pytest.fixture
def archive(tmp_path):
    record = tmp_path / "ledger.jsonl"
    record.write_text("{}\n")
    with tarfile.open(tmp_path / "records.tar.gz", "w:gz") as packed:
        packed.add(record, record.name)
    return str(tmp_path / "records.tar.gz")


def test_what_was_packed_is_unpacked(archive, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    assert unpack(archive, home) == ""
    assert (home / "ledger.jsonl").read_text() == "{}\n"


def test_what_cannot_be_unpacked_is_told_in_tars_words(archive, tmp_path):
    reason = unpack(archive, tmp_path / "nowhere")
    assert reason.startswith("tar: ") and "nowhere" in reason
