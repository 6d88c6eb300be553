# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a layer of packages leaves for the roles to do."""

from __future__ import annotations

from ansible_collections.foundation.testbed.plugins.module_utils.lab.image import _disable_services


def test_no_service_of_a_layer_is_enabled_by_want_or_by_alias(tmp_path):
    units = tmp_path / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / "multi-user.target.wants/etcd.service").symlink_to("/lib/systemd/system/etcd.service")
    (units / "etcd2.service").symlink_to("/lib/systemd/system/etcd.service")
    (units / "masked.service").symlink_to("/dev/null")
    (units / "own.service").write_text("[Service]\n")
    _disable_services(tmp_path)
    left = sorted(path.name for path in units.rglob("*") if not path.is_dir())
    assert left == ["masked.service", "own.service"]
