# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.power`."""

from __future__ import annotations

from ansible_collections.foundation.testbed.plugins.plugin_utils.provider_action import ProviderAction


class ActionModule(ProviderAction):
    """Cuts the power of nodes from this machine, by their provider."""

    kind = "power"
