# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.name_service`."""

from __future__ import annotations

from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_action import FaultAction


class ActionModule(FaultAction):
    """Makes names resolve wrongly."""

    kind = "name_service"
