# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How hard properties are searched: quickly by default, HYPOTHESIS_PROFILE=thorough for a long search."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile("quick", max_examples=60, deadline=None, suppress_health_check=FIXTURES)
settings.register_profile("thorough", max_examples=3000, deadline=None, suppress_health_check=FIXTURES)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
