# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who gets how much of a resource: pure functions of what there is and what is wanted, in whole units.

Nothing is given twice (shares never add up to more than there is), nobody gets more than it wants, and
everybody who wants something gets some as long as there is a unit for each.
"""

from __future__ import annotations

from collections.abc import Mapping

FAIR_SHARE, PRIORITY = "fair_share", "priority"
STRATEGIES = (FAIR_SHARE, PRIORITY)


def fair(amount: int, wanted: Mapping[str, int]) -> dict[str, int]:
    """Share by max-min fairness: who wants little gets it, the others get equally much, to a unit."""
    shares, left = {}, amount
    order = sorted(wanted, key=lambda name: (wanted[name], name))
    for place, name in enumerate(order):
        shares[name] = min(wanted[name], left // (len(order) - place))
        left -= shares[name]
    return shares


def by_priority(amount: int, wanted: Mapping[str, int], priorities: Mapping[str, int]) -> dict[str, int]:
    """Share to the highest priority first, fairly within one; but first a unit for everybody."""
    order = sorted(wanted, key=lambda name: (-priorities[name], name))
    needy = [name for name in order if wanted[name] > 0][: max(amount, 0)]
    shares = {name: int(name in needy) for name in wanted}
    left = amount - len(needy)
    for priority in sorted({priorities[name] for name in wanted}, reverse=True):
        alike = {name: wanted[name] - shares[name] for name in wanted if priorities[name] == priority}
        for name, more in fair(left, alike).items():
            shares[name] += more
            left -= more
    return shares


def shared(
    strategy: str,
    capacity: Mapping[str, int],
    wanted: Mapping[str, Mapping[str, int]],
    priorities: Mapping[str, int],
) -> dict[str, dict[str, int]]:
    """Return what each agent gets of each resource; an agent that does not say wants all there is."""
    shares: dict[str, dict[str, int]] = {agent: {} for agent in wanted}
    for resource, amount in capacity.items():
        demand = {agent: min(own.get(resource, amount), amount) for agent, own in wanted.items()}
        ranked = strategy == PRIORITY
        given = by_priority(amount, demand, priorities) if ranked else fair(amount, demand)
        for agent, units in given.items():
            shares[agent][resource] = units
    return shares
