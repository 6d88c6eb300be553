# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No key of a host is accepted that nobody has checked."""

from __future__ import annotations

import base64
import subprocess

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.host_keys import (
    Key,
    SshEnd,
    check,
    parse_scan,
    question,
    unchecked,
)
from hypothesis import given
from hypothesis import strategies as st


def key(content: bytes, kind: str = "ssh-ed25519") -> Key:
    return Key(kind, base64.b64encode(content).decode())


GOOD, EVIL = key(b"good"), key(b"evil")
END = SshEnd("n1", "192.0.2.11", 2222)


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "k")], check=True)
    kind, blob, *_ = (tmp_path / "k.pub").read_text().split()
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(tmp_path / "k.pub")], capture_output=True, text=True
    )
    assert Key(kind, blob).fingerprint == shown.stdout.split()[1]


def test_a_key_that_nobody_has_checked_is_asked_about_and_not_written():
    checked = check([END], set(), {END.token: [GOOD]}, set())
    assert (checked.lines, checked.problems) == ([], [])
    assert GOOD.fingerprint in question(checked.unknown, [END])
    assert "n1: nobody has checked the key of [192.0.2.11]:2222" in unchecked(checked.unknown, [END])[0]


def test_what_a_person_has_compared_is_written_and_nothing_else():
    """Between the question and the answer another machine may have taken the address."""
    assert check([END], set(), {END.token: [GOOD]}, {GOOD.fingerprint}).lines == [
        f"[192.0.2.11]:2222 ssh-ed25519 {GOOD.blob}\n"
    ]
    assert check([END], set(), {END.token: [EVIL]}, {GOOD.fingerprint}).lines == []


def test_the_inventorys_fingerprint_goes_before_what_anybody_says():
    end = SshEnd("n1", "192.0.2.11", 22, GOOD.fingerprint)
    checked = check([end], set(), {end.token: [EVIL]}, {EVIL.fingerprint})
    assert checked.lines == []
    assert "another machine, or somebody in between" in checked.problems[0]
    other = key(b"good", "ssh-rsa")
    assert check([end], set(), {end.token: [EVIL, other]}, set()).lines == [other.line(end)]


def test_a_host_that_says_no_key_is_named():
    assert "n1: no ssh server says its key" in check([END], set(), {}, set()).problems[0]
    assert check([END], {"n1"}, {}, set()).problems == []


@given(st.text(max_size=200))
def test_no_text_of_a_scan_breaks_it(text):
    for found in parse_scan(text).values():
        assert all(one.fingerprint.startswith("SHA256:") for one in found)


@pytest.mark.parametrize("line", ["# 192.0.2.11:22 SSH-2.0-OpenSSH", "192.0.2.11 ssh-ed25519 %%%", "x"])
def test_comments_and_broken_lines_are_no_keys(line):
    assert parse_scan(line) == {}
