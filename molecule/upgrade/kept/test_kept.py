# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After an upgrade: everything is of this release, and nothing that clients wrote is gone."""

from __future__ import annotations

NODES = {"n1", "n2", "n3"}


def test_what_was_written_and_the_members_are_kept(host):
    """The data of before, in the same cluster of the same members."""
    keys = host.check_output("etcdctl get --prefix kept/ --keys-only").split()
    assert set(keys) == {f"kept/{name}" for name in NODES}
    assert host.check_output("etcdctl member list | sort") == host.file("/var/lib/members").content_string.strip()


def test_agent_units_and_settings_are_of_this_release(host):
    """Nothing of the other one is left."""
    packed = host.check_output("python3 -m zipfile -l /usr/local/lib/foundation-testbed/agent.pyz")
    assert "__main__.py" in packed and "\nrelease " not in packed
    assert "another" not in host.file("/etc/systemd/system/foundation-testbed-exporter.service").content_string
    assert host.service("foundation-testbed-recover.service").is_enabled
    (etcd,) = host.check_output("pidof etcd").split()
    assert "ETCD_HEARTBEAT_INTERVAL=100" in host.check_output(f"tr '\\0' '\\n' < /proc/{etcd}/environ")
