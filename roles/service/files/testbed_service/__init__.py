# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the testbed's own services share: a store on etcd, an HTTP face with a contract, a mode, metrics."""
