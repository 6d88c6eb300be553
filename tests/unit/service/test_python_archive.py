# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service in one file is whole: Python imports it from there, its description included."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.python_archive import files_of, packed
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import ROLES_DIR

COUNT = "from {0}.__main__ import description; print(len(description().operations))"


def archive(name):
    sources = {
        "testbed_service": ROLES_DIR / "service/files/testbed_service",
        f"{name}_service": ROLES_DIR / f"{name}/files/{name}_service",
        "etcd_errors.py": ROLES_DIR / "etcd/files/client_errors.py",
    }
    return packed(
        {
            path: content
            for kind, source in sources.items()
            for path, content in files_of(source, kind).items()
        }
    )


@pytest.mark.parametrize("name", ["foundation", "mabeam"])
def test_a_service_is_imported_from_its_archive(name, tmp_path):
    zipped = tmp_path / f"{name}.zip"
    zipped.write_bytes(archive(name))
    program = [sys.executable, "-c", COUNT.format(f"{name}_service")]
    done = subprocess.run(
        program, env={"PYTHONPATH": str(zipped)}, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    described = import_module(f"{name}_service.__main__").description()
    assert int(done.stdout) == len(described.operations)


def test_the_same_files_give_the_same_bytes():
    assert archive("mabeam") == archive("mabeam")
