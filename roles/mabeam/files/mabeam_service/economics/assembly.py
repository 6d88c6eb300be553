# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put Economics together."""

from __future__ import annotations

from mabeam_service.economics.accounts import Accounts
from mabeam_service.economics.auctions import Auctions
from mabeam_service.economics.market import Market, close_in_time
from mabeam_service.economics.payments import PAYMENT_RETRIED_WITHOUT_KEY, Payments
from mabeam_service.part import Part
from testbed_service.assembly import Base

__all__ = ["PAYMENT_RETRIED_WITHOUT_KEY", "make"]


def make(base: Base) -> Part:
    """Return Economics as a part of the service."""
    accounts, payments, market = Accounts(base), Payments(base), Market(base.feed)
    auctions = Auctions(base, accounts)
    handlers = {
        "openAccount": accounts.open,
        "readAccount": accounts.read,
        "readAccounts": accounts.read_all,
        "createAuction": auctions.create,
        "readAuction": auctions.read,
        "placeBid": auctions.bid,
        "closeAuction": auctions.close,
        "settleAuction": payments.settle,
        "makePayment": payments.pay,
        "readPayment": payments.read,
        "readMarket": market.read,
        "readMarketOfAuction": market.read_one,
        "readReport": market.report,
    }
    return Part(handlers, [market.follow(), close_in_time(market, auctions, base.store)])
