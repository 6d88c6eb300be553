# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an enrolment takes down of a host, and what it would install: pure parts, and files in a folder."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.host import enrol, files, packages, release
from ansible_collections.foundation.testbed.plugins.module_utils.host.packages import (
    Changes,
    Present,
    parse_packages,
    parse_simulation,
)
from ansible_collections.foundation.testbed.plugins.module_utils.host.record import merged
from ansible_collections.foundation.testbed.plugins.plugin_utils.enrolment_plan import enrolment_plan
from hypothesis import given
from hypothesis import strategies as st

SIMULATED = """NOTE: This is only a simulation!
Inst etcd-server (3.4.23-4+b4 Debian:12.1/stable [amd64])
Inst libc6 [2.36-9] (2.36-10 Debian:12.1/stable [amd64]) []
Remv ntp [1:4.2.8]
Purg ntpsec [1.2.2]
Conf etcd-server (3.4.23-4+b4 Debian:12.1/stable [amd64])
"""


def test_installs_upgrades_and_removals_are_told_apart():
    assert parse_simulation(SIMULATED) == Changes(
        {"etcd-server": "3.4.23-4+b4"}, {"libc6": ("2.36-9", "2.36-10")}, ["ntp", "ntpsec"]
    )


def test_what_could_not_be_put_back_is_refused():
    """An upgrade cannot be undone, nor what was left of a removed package's configuration."""
    said = enrol.apt_refusals(parse_simulation(SIMULATED), None, frozenset(["etcd-server", "other"]))
    assert [line.split(";")[0] for line in said] == [
        "apt would upgrade libc6 from 2.36-9 to 2.36-10, which nobody could put back",
        "apt would remove ntp",
        "apt would remove ntpsec",
        "the package etcd-server was removed here and its configuration kept, which nobody could put back",
    ]
    assert enrol.apt_refusals(Changes({"a": "1"}), None, frozenset()) == []


def test_a_package_that_a_broken_installation_has_left_is_neither_whole_nor_gone():
    """It has to be purged on release, and installed anew where enrolling goes on."""
    text = "a\t1\tinstalled\nb\t2\thalf-configured\nc\t3\tconfig-files\nd\t\tnot-installed\n"
    assert parse_packages(text) == Present({"a": "1"}, frozenset("b"), frozenset("c"))
    assert parse_packages(text).names == {"a", "b", "c"}


@given(st.text(max_size=300))
def test_no_output_of_apt_breaks_the_plan(text):
    changes = parse_simulation(text)
    assert not set(changes.install) & set(changes.upgrade) or "Inst" in text


def test_ports_that_somebody_listens_on_are_named():
    table = (
        "  sl  local_address rem_address   st tx_queue\n"
        "   0: 0100007F:094B 00000000:0000 0A 00000000:00000000\n"
        "   1: 0100007F:1F90 0100007F:CAFE 01 00000000:00000000\n"
    )
    assert enrol.parse_listening(table) == {2379}
    assert enrol.ports_in_use({"etcd (client)": 2379, "etcd (peer)": 2380}, {2379}) == [
        "somebody listens on port 2379, which etcd (client) needs"
    ]


def test_debian_is_told_by_its_name_and_quoted_values_are_read():
    assert enrol.os_release('ID=debian\nPRETTY_NAME="Debian 12"\n# x\n') == {
        "ID": "debian",
        "PRETTY_NAME": "Debian 12",
    }


paths = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


@given(st.sets(paths))
def test_topmost_paths_cover_all_and_lie_in_none_of_each_other(given_paths):
    """What is removed on release: never twice, never more than what appeared."""
    top = files.topmost(given_paths)
    assert set(top) <= given_paths
    for path in given_paths:
        assert sum(path == one or path.startswith(one + "/") for one in top) == 1


@given(*[st.dictionaries(st.sampled_from("abcd"), st.fixed_dictionaries({"d": st.integers(0, 2)}))] * 3)
def test_of_two_installations_the_first_before_and_the_last_after_count(one, two, three):
    first = merged({}, files.differing(one, two))
    both = merged(first, files.differing(two, three))
    for path in {*one, *two, *three}:
        if one.get(path) != three.get(path):
            assert both[path] == [one.get(path), three.get(path)]


def test_a_file_is_put_back_with_its_content_mode_and_kind(tmp_path):
    etc, kept = tmp_path / "etc", tmp_path / "kept"
    (etc / "d").mkdir(parents=True)
    kept.mkdir()
    (etc / "secret").write_text("before")
    (etc / "secret").chmod(0o640)
    (etc / "link").symlink_to("secret")
    before = files.manifest(etc)
    files.pack(etc, tmp_path / "etc.tar")
    assert (tmp_path / "etc.tar").stat().st_mode & 0o077 == 0
    files.remove(etc / "secret")
    (etc / "secret").mkdir()
    (etc / "link").unlink()
    (etc / "link").write_text("other")
    (etc / "d").rmdir()
    changed = files.differing(before, files.manifest(etc))
    files.unpack(tmp_path / "etc.tar", changed, kept)
    for path, (was, _now) in changed.items():
        files.put_back(type(etc)(path), was, kept)
    assert files.manifest(etc) == before
    assert not list(etc.glob(".*"))


def test_users_made_by_others_are_told_from_those_of_our_packages():
    """Books of users are put back as a whole only where nobody else has written into them."""
    before = "root:x:0\ndaemon:x:1\n"
    assert release.without_accounts(before + "etcd:x:101\n", {"etcd"}) == before.splitlines()
    assert release.without_accounts(before + "theirs:x:102\n", {"etcd"}) != before.splitlines()


def test_names_are_listed_only_as_deep_as_is_asked(tmp_path):
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    assert files.names({str(tmp_path): 2}) == [str(tmp_path / "a"), str(tmp_path / "a" / "b")]


def test_what_would_be_installed_is_shown_before_it_is():
    plans = {
        "n1": {"packages": ["etcd-server 3.4"], "enrolled": False},
        "n2": {"packages": ["etcd-server 3.4"], "enrolled": False, "resumes": True},
        "n3": {"packages": [], "enrolled": True},
    }
    text = enrolment_plan(plans, "lab")
    assert "The testbed lab is going to install on n1, n2:" in text
    assert "n1, n2: 1 Debian packages\n    etcd-server 3.4" in text
    assert "brought to its end: n2" in text
    assert enrolment_plan({"n3": plans["n3"]}, "lab") == ""


@pytest.mark.parametrize("missing", ["dpkg", "apt-get"])
def test_apt_keeps_the_owners_configuration_and_no_downloads(missing):
    """A question of dpkg would wait for ever, and a changed cache is not the host as it was."""
    assert "Dpkg::Options::=--force-confold" in packages.APT
    assert "APT::Keep-Downloaded-Packages=false" in packages.APT
