"""Bank accounts and eChecks: numbers, rules, and what an outcome makes of a debit."""

import pytest

from kessai.payment import bank
from kessai.payment.bank import FLAG, AccountType, BankAccount
from kessai.payment.card import AccountNumber
from kessai.payment.echeck import Echeck
from kessai.payment.lifecycle import Approved, Operation, Refusal, Status, Transaction, Unknown, cleans_up
from kessai.payment.money import Currency
from kessai.payment.refund import Refund
from kessai.payment.reverse import Reverse
from tests.payment.histories import ACCOUNT, LENIENT, USD, History, usd

CAD = Currency.of("CAD")


@pytest.mark.parametrize("number", ["071923284", "121042882", "121107882", "011000015", "322271627"])
def test_a_routing_number_has_a_check_digit(number: str) -> None:
    assert bank.routing_number(number, USD) == number
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert bank.routing_number(wrong, USD) is None


def test_a_leading_zero_that_a_number_has_lost_is_given_back() -> None:
    assert bank.routing_number("71923284", USD) == "071923284"


@pytest.mark.parametrize("text", ["", "7192328", "0719232840", "07192328x", "000000000", "\u0660" * 9])
def test_what_is_no_routing_number(text: str) -> None:
    assert bank.routing_number(text, USD) is None


def test_a_canadian_routing_number_has_no_check_digit() -> None:
    assert bank.routing_number("00011004", CAD) == "00011004"
    assert bank.routing_number("000111004", CAD) == "000111004"
    assert bank.routing_number("1104", CAD) is None


@pytest.mark.parametrize(
    ("number", "suffix"), [("4100", ""), ("4100271", ""), ("41002718", "2718"), ("1" * 17, "1111")]
)
def test_at_least_as_much_of_a_number_is_hidden_as_shown(number: str, suffix: str) -> None:
    made = AccountNumber(number)
    assert made.suffix == suffix
    assert number not in f"{made!r} {made} {made:s}"
    assert made.masked() == "X" * len(number)


@pytest.mark.parametrize("kind", AccountType)
@pytest.mark.parametrize(("number", "routing"), [("4", "071923284"), ("1" * 17, "00011004")])
def test_an_account_is_packed_in_one_length(number: str, routing: str, kind: AccountType) -> None:
    account = BankAccount(number=AccountNumber(number), routing_number=routing, type=kind)
    packed = bank.packed(account)
    assert len(packed) == len(bank.packed(ACCOUNT))
    assert bank.unpacked(packed) == account
    assert bank.unpacked(packed[:13]) is None


def test_a_debit_is_a_sale_and_a_credit_a_credit() -> None:
    debit, credit = History(), History()
    assert debit.do(Echeck(amount=usd(100), account=ACCOUNT)) is debit.root
    credit.do(Echeck(amount=usd(100), account=ACCOUNT, is_credit=True))
    assert (debit.root.operation, credit.root.operation) == (Operation.SALE, Operation.CREDIT)
    assert FLAG in debit.root.flags & credit.root.flags


def test_an_account_is_refused_where_the_acquirer_takes_none() -> None:
    history = History(merchant=LENIENT)
    assert history.do(Echeck(amount=usd(100), account=ACCOUNT)) is Refusal.NOT_SUPPORTED


def test_a_debit_of_nothing_is_refused() -> None:
    assert History().do(Echeck(amount=usd(0), account=ACCOUNT)) is Refusal.AMOUNT_NOT_POSITIVE


def test_a_refund_to_a_card_is_refused() -> None:
    history = History()
    history.do(Echeck(amount=usd(100), account=ACCOUNT))
    refund = Refund(target=1, amount=usd(100), card_prefix="555555", card_suffix="4444")
    assert history.do(refund) is Refusal.OTHER_CARD


def test_a_part_of_a_debit_leaves_no_authorization_behind() -> None:
    history = History()
    history.do(Echeck(amount=usd(10_000), account=ACCOUNT), Approved(amount=usd(4_000)))
    assert history.payment is not None
    assert (history.root.operation, history.root.approved) == (Operation.SALE, 4_000)
    assert (history.payment.captured, history.payment.held) == (4_000, 0)


def test_an_unknown_debit_is_undone_by_a_reversal() -> None:
    history = History()
    history.do(Echeck(amount=usd(10_000), account=ACCOUNT), Unknown("silence"))
    assert cleans_up(history.root) is Operation.REVERSAL
    undone = history.do(Reverse(amount=usd(10_000), by_transaction_id=True))
    assert isinstance(undone, Transaction)
    assert undone.status is Status.APPROVED


def test_an_unknown_credit_is_sent_again() -> None:
    history = History()
    history.do(Echeck(amount=usd(10_000), account=ACCOUNT, is_credit=True), Unknown("silence"))
    assert cleans_up(history.root) is Operation.CREDIT
