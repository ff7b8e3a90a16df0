"""Agreements as plain facts; the cases of the wire are in the acceptance tests."""

import pytest

from kessai.payment.agreement import MESSAGE_REASONS, OLDEST, STANDING, Agreement, Initiator, Occasion, Series, facts

MERCHANT, CARDHOLDER = Initiator.MERCHANT, Initiator.CARDHOLDER


@pytest.mark.parametrize(
    ("said", "entry_mode", "condition"),
    [
        (Agreement(initiator=CARDHOLDER, keeps_card=True), "01", "59"),
        (Agreement(initiator=CARDHOLDER, uses_kept_card=True), "10", "59"),
        (Agreement(initiator=CARDHOLDER, keeps_card=True, series=Series.RECURRING), "01", "59"),
        (Agreement(initiator=MERCHANT), "10", "59"),
        (Agreement(initiator=MERCHANT, uses_kept_card=True), "10", "08"),
        (Agreement(initiator=MERCHANT, series=Series.INSTALLMENT), "10", "08"),
        (Agreement(series=Series.RECURRING), "01", "08"),
        (Agreement(initiator=MERCHANT, occasion=Occasion.INCREMENTAL), None, None),
        *(
            (
                Agreement(initiator=MERCHANT, uses_kept_card=True, occasion=each),
                "10",
                "08" if each in STANDING else "59",
            )
            for each in Occasion
            if each is not Occasion.INCREMENTAL
        ),
    ],
)
def test_entry_mode_and_condition_follow_from_who_charges_and_why(
    said: Agreement, entry_mode: str | None, condition: str | None
) -> None:
    told = facts(said)
    assert (told.get("entry_mode"), told.get("condition")) == (entry_mode, condition)


def test_a_card_that_is_present_is_read_as_its_terminal_says() -> None:
    assert facts(Agreement(initiator=CARDHOLDER, keeps_card=True), is_present=True) == {
        "initiator": "cardholder",
        "keeps_card": "true",
    }
    assert facts(Agreement(initiator=MERCHANT), is_present=True)["entry_mode"] == "10"


def test_what_follows_from_one_purchase_has_a_message_reason_and_what_is_agreed_for_all_has_none() -> None:
    assert MESSAGE_REASONS.keys() == set(Occasion) - STANDING - {Occasion.PARTIAL_SHIPMENT}
    assert not OLDEST.keys() & STANDING
