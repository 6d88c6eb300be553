# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.disk`."""

from __future__ import annotations

from ansible_collections.foundation.testbed.plugins.plugin_utils.provider_action import ProviderAction


class ActionModule(ProviderAction):
    """Slows or breaks disks of nodes from this machine, by their provider."""

    kind = "disk"
