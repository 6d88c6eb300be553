# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make bench`: the figures that docs/figures.md states, in the parts that PARTS names."""

from __future__ import annotations

import sys

from ansible_collections.foundation.testbed.tests.bench import (
    checker,
    compile,
    faults,
    foundation,
    lab,
    link,
    report,
    scale,
)

PARTS = {
    "checker": checker.main,
    "compile": compile.main,
    "starts": lab.starts,
    "runs": lab.runs,
    "cycles": lab.cycles,
    "faults": faults.main,
    "foundation": foundation.main,
    "link": link.main,
    "report": report.main,
    "scale": scale.main,
}


def main(wanted: list[str]) -> int:
    """Measure the wanted parts, or all; returns the exit status."""
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown:
        print(f"bench: given {unknown[0]!r}; allowed: {', '.join(PARTS)}", file=sys.stderr)
        return 12
    for name in wanted or PARTS:
        PARTS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
