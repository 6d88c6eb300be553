# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of the keys of Economics, one key for each thing.

What belongs to one auction has one prefix, so that one range of etcd is all of it at one moment; a bid sorts
before the auction's own key, and the latest bid is next to it.
"""

from __future__ import annotations

ROOT = "/mabeam/economics/"
ACCOUNTS, AUCTIONS, PAYMENTS = f"{ROOT}accounts/", f"{ROOT}auctions/", f"{ROOT}payments/"
STATE = "/state"
OF_AUCTION = "auction:"
"""What the keys of payments begin with that settle an auction; clients cannot name theirs so."""


def account_key(account: str) -> str:
    """Return the key of an account."""
    return ACCOUNTS + account


def auction_prefix(auction: str) -> str:
    """Return what all keys of an auction begin with."""
    return f"{AUCTIONS}{auction}/"


def auction_key(auction: str) -> str:
    """Return the key of an auction itself."""
    return f"{AUCTIONS}{auction}{STATE}"


def bid_key(auction: str, number: int) -> str:
    """Return the key of a bid."""
    return f"{auction_prefix(auction)}bids/{number:09d}"


def payment_key(payment: str) -> str:
    """Return the key of a payment."""
    return PAYMENTS + payment


def settlement_of(auction: str) -> str:
    """Return the name of the one payment that settles an auction."""
    return OF_AUCTION + auction


def auction_of(key: str) -> str | None:
    """Return the auction whose own key this is; None for any other key."""
    if key.startswith(AUCTIONS) and key.endswith(STATE):
        return key[len(AUCTIONS) : -len(STATE)]
    return None
