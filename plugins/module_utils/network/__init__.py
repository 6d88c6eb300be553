# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The topology on a node: which frames it takes, whom it forwards for, how long a link holds a packet."""
