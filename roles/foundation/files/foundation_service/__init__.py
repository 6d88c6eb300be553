# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The system foundation: ProcessRegistry, Events and Telemetry, on the testbed's own service library."""
