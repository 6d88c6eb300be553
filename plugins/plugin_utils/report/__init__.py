# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports: one self-contained page for people, one short table for the terminal."""

from __future__ import annotations
