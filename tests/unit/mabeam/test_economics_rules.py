# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What makes a bid valid, who wins, what a payment does: the rules alone."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from mabeam_service.economics import auction_rules as auctions
from mabeam_service.economics import ledger_rules as ledger
from mabeam_service.economics.board import Board
from mabeam_service.economics.keys import auction_key, auction_of, bid_key, payment_key
from testbed_service.feed import Change, Held

ACTS = st.lists(
    st.builds(auctions.Bid, st.sampled_from(["seller", "b1", "b2"]), st.integers(1, 40))
    | st.just(auctions.Close()),
    max_size=30,
)
TERMS = st.fixed_dictionaries(
    {"title": st.just("t"), "seller": st.just("seller")},
    optional={
        "starting_price": st.integers(1, 20),
        "reserve_price": st.integers(0, 30),
        "increment": st.integers(1, 5),
    },
)


@given(TERMS, ACTS)
def test_the_winner_is_the_highest_bid_and_nothing_changes_after_the_close(terms, acts):
    """Against the plainest model: a list of the bids that stand."""
    auction, stood, winner, is_open = auctions.opened("a", terms, 0.0), [], None, True
    increment = auction["increment"]
    for act in acts:
        said = auctions.after(auction, act, 1.0)
        if isinstance(act, auctions.Close):
            if is_open and stood and stood[-1].amount >= auction["reserve_price"]:
                winner = stood[-1]
            is_open = False
        else:
            least = stood[-1].amount + increment if stood else auction["starting_price"]
            valid = is_open and act.bidder != "seller" and act.amount >= least
            assert isinstance(said, auctions.Taken) == valid
            if valid:
                stood.append(act)
        if isinstance(said, auctions.Taken):
            auction = said.auction
        assert auction["bids"] == len(stood)
        assert (auction["status"] == "open") == is_open
    assert [bid.amount for bid in stood] == sorted({bid.amount for bid in stood})
    if winner is None:
        assert auction["winner"] is None
    else:
        assert (auction["winner"]["bidder"], auction["winner"]["amount"]) == winner
        assert winner.amount == max(bid.amount for bid in stood)


@given(TERMS, ACTS, ACTS)
def test_what_the_past_refuses_the_present_refuses(terms, before, between):
    """So a node may refuse by what it has itself, however old that is."""

    def later(auction, acts):
        for act in acts:
            said = auctions.after(auction, act, 1.0)
            auction = said.auction if isinstance(said, auctions.Taken) else auction
        return auction

    past = later(auctions.opened("a", terms, 0.0), before)
    present = later(past, between)
    for amount in range(1, 45):
        bid = auctions.Bid("b1", amount)
        if isinstance(auctions.after(past, bid, 2.0), auctions.Refused):
            assert isinstance(auctions.after(present, bid, 2.0), auctions.Refused)


NAMES = ("x", "y", "z")
ORDERS = st.lists(
    st.builds(
        ledger.Order,
        st.sampled_from(["p1", "p2", "p3", "p4"]),
        st.sampled_from(NAMES),
        st.sampled_from(NAMES),
        st.integers(1, 60),
    ),
    max_size=20,
)


@given(ORDERS)
def test_payments_move_money_once_for_each_key_and_never_make_any(orders):
    accounts = {name: ledger.account_of(name, 50, 0.0) for name in NAMES}
    payments = {}
    for order in orders:
        known = payments.get(order.payment)
        said = ledger.paid(order, known, accounts[order.payer], accounts[order.payee], 1.0)
        if isinstance(said, ledger.Moved):
            assert known is None
            accounts |= {order.payer: said.payer, order.payee: said.payee}
            payments[order.payment] = said.payment
        elif isinstance(said, ledger.Done):
            assert said.payment == known
        balances = [account["balance"] for account in accounts.values()]
        assert sum(balances) == 150 and min(balances) >= 0
    for name in NAMES:
        change = sum(each["amount"] for each in payments.values() if each["to"] == name)
        change -= sum(each["amount"] for each in payments.values() if each["from"] == name)
        assert accounts[name]["balance"] == 50 + change


def test_keys_name_things_and_bids_sort_by_their_number_before_the_auction_itself():
    assert auction_of(auction_key("a")) == "a"
    assert auction_of(bid_key("a", 1)) is None and auction_of(payment_key("a")) is None
    keys = [bid_key("a", 9), bid_key("a", 10), auction_key("a")]
    assert keys == sorted(keys)


def test_a_board_made_of_changes_is_the_one_made_of_the_view():
    auction = auctions.opened("a", {"title": "t", "seller": "s"}, 1.0)
    other = auctions.opened("b", {"title": "t", "seller": "s"}, 2.0)
    with_bid = auctions.after(auction, auctions.Bid("b1", 5), 3.0).auction
    closed = auctions.after(with_bid, auctions.Close(), 4.0).auction
    done = auctions.settled(closed, 5.0)
    board, view, past = Board(), {}, {}
    written = [(auction_key("a"), auction), (auction_key("b"), other), (bid_key("a", 1), {"bid": 1})]
    written += [(auction_key("a"), each) for each in (with_bid, closed, done)] + [(payment_key("p"), {})]
    for revision, (key, document) in enumerate(written, 1):
        view[key] = Held(json.dumps(document), revision, None)
        board.apply([Change(revision, key, past.get(key), view[key])], revision)
        past[key] = view[key]
        anew = Board()
        anew.rebuild(view, revision)
        assert vars(anew) == vars(board)
    assert list(board.open) == ["b"] and board.completed == [done] and board.payments == 1
    assert board.completed_since(5.0) == [done] and board.completed_since(5.1) == []
