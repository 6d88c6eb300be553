# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`python3 -m etcd_keeper join|watch SETTINGS`: before etcd starts, and while it runs."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from etcd_keeper.gateway import Refused
from etcd_keeper.join import join
from etcd_keeper.settings import load
from etcd_keeper.watch import Keeper


def main(arguments: list[str]) -> int:
    """Do what is asked for; return the exit status."""
    what, path = arguments
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    settings = load(Path(path))
    if what == "watch":
        Keeper(settings).run()
    try:
        return 0 if join(settings) else 1
    except Refused as error:
        logging.getLogger("etcd-keeper").info("not yet: %s", error)
        return 1


sys.exit(main(sys.argv[1:]))
