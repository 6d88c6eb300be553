# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the nftables table of a fault is called."""

from __future__ import annotations

import hashlib
import re

TABLE_PREFIX = "foundation_testbed_"
LONGEST = 80
"""Characters: a link fault's socket has the name too, and sockets' names end at 107."""


def table_name(run: str, fault: str) -> str:
    """Name of the nftables table of one fault: nobody else's, and removed as a whole.

    The end of one that is too long gives way to a digest of the whole.
    """
    name = TABLE_PREFIX + re.sub(r"[^a-z0-9_]", "_", f"{run}_{fault}".lower())
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: LONGEST - len(digest) - 1]}_{digest}"
