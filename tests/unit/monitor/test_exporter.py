# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node tells of itself."""

from __future__ import annotations

import re
import sys

from ansible_collections.foundation.testbed.plugins.module_utils.agent import own_limits
from ansible_collections.foundation.testbed.plugins.module_utils.monitor import exporter
from ansible_collections.foundation.testbed.plugins.module_utils.monitor.exporter import (
    DiskWrites,
    exporter_command,
    exposition,
    figures,
)
from ansible_collections.foundation.testbed.plugins.modules.services import outdated, write
from ansible_collections.foundation.testbed.plugins.plugin_utils.monitoring import STANDARD


def test_what_is_not_known_is_left_out():
    text = exposition([("a_total", "counter", "As.", 3), ("b", "gauge", "Bs.", None)])
    assert text == "# HELP a_total As.\n# TYPE a_total counter\na_total 3\n"


def test_a_container_exports_nothing_of_its_host():
    """node_exporter's cpu and meminfo would be the host's there; a machine's are its own."""
    inside = exporter_command("10.0.0.1:19100", "/run/x", in_container=True)
    assert "--collector.disable-defaults" in inside
    assert not any(re.search(r"cpu|mem|disk|load|vmstat", word) for word in inside[1:])
    of_its_own = set(exporter_command("10.0.0.1:19100", "/run/x", in_container=False)) - set(inside)
    assert "--collector.meminfo" in of_its_own


def test_every_figure_that_a_standard_series_needs_is_written():
    written = {name for name, *_rest in figures(DiskWrites(), 1)}
    asked = {name for series in STANDARD for name in re.findall(r"testbed_\w+", series["query"])}
    assert asked <= written


def test_bytes_written_by_a_container_are_those_of_its_own_processes(monkeypatch):
    """A: 100 before it began, then 150 and gone; B is new with 30. 50 + 30, and never less again."""
    seen = iter([[("A", 100)], [("A", 150), ("B", 30)], [("B", 30)]])
    monkeypatch.setattr(DiskWrites, "_by_process", staticmethod(lambda: next(seen)))
    monkeypatch.setattr(own_limits, "in_container", lambda: True)
    disk = DiskWrites()
    assert (disk.total(), disk.total()) == (80.0, 80.0)


def test_figures_are_written_until_the_exporter_ends(tmp_path, monkeypatch):
    """Without node_exporter nobody would see them, and the unit starts both anew."""
    stand_in = [sys.executable, "-c", "import time; time.sleep(0.5)"]
    monkeypatch.setattr(exporter, "exporter_command", lambda *_: stand_in)
    monkeypatch.setattr(exporter.signal, "signal", lambda *_: None)
    assert exporter.main(["127.0.0.1:1", str(tmp_path), "15"]) == 1
    assert "testbed_figures_total " in (tmp_path / "testbed.prom").read_text()


def test_services_write_only_what_changed(tmp_path):
    files = {str(tmp_path / "etc/a"): "new\n", str(tmp_path / "b"): "same\n"}
    (tmp_path / "b").write_text("same\n")
    fresh = outdated(files)
    assert list(fresh) == [str(tmp_path / "etc/a")]
    write(fresh)
    assert not outdated(files)
    assert (tmp_path / "etc/a").stat().st_mode & 0o777 == 0o644
