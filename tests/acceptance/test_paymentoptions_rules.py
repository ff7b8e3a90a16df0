"""Risk rules, declines, lost answers, settings and Japanese payment options on the PaymentOptions wire."""

import inspect

import pytest

from kessai.dialects.paymentoptions import codes
from kessai.dialects.paymentoptions.acquirer_codes import ACQUIRER
from kessai.payment.lifecycle import Reason, Refusal
from kessai.payment.risk import Rule
from tests.acceptance.client import Service
from tests.acceptance.options import Shop, paid, shop_of

STATIC = [
    ("countries", '["US"]', {"billing_address__country": "US"}, "ERR3001", -8000),
    ("ips", '["192.0.2.0/24"]', {}, "ERR3002", -8001),
    ("bins", '["520000"]', {}, "ERR3003", -8002),
    ("cards", '["520000******1005"]', {}, "ERR3004", -8003),
    ("issuing_countries", '["KP"]', {}, "ERR3005", -8004),
    ("minimums", '{"JPY": 2000}', {}, "ERR3006", -8005),
    ("maximums", '{"JPY": 500}', {}, "ERR3006", -8005),
]


@pytest.mark.parametrize(("rule", "value", "changes", "code", "number"), STATIC)
def test_a_rule_declines_and_the_transaction_is_kept(
    service: Service, rule: str, value: str, changes: dict[str, object], code: str, number: int
) -> None:
    settings = {f"risk.{rule}": value, "risk.bin_countries": '{"52": "KP"}'}
    shop = shop_of(service, f"po_risk_{rule}", **settings)
    result = shop.pay(**changes)
    assert (result.status, result.success, result.code, result.response_code) == (412, False, code, number)
    assert result.message in ("Transaction is restricted", "Amount is outside the allowed range")
    assert shop.client.status(result.id).code == code
    amount = "400" if rule == "maximums" else "2500"
    paid(shop.pay(card__number="4000000000001091", customer_ip="198.51.100.1", amount=amount))


@pytest.mark.parametrize(
    ("rule", "value", "code"),
    [
        ("card_counts", '{"10m": 2}', "ERR3008"),
        ("card_counts", '{"24h": 2}', "ERR3009"),
        ("card_counts", '{"7d": 2}', "ERR3010"),
        ("card_counts", '{"1mo": 2}', "ERR3011"),
        ("ip_counts", '{"10m": 2}', "ERR3012"),
        ("ip_counts", '{"24h": 2}', "ERR3013"),
        ("ip_counts", '{"7d": 2}', "ERR3014"),
        ("ip_counts", '{"1mo": 2}', "ERR3015"),
    ],
)
def test_a_card_or_an_address_comes_too_often(service: Service, rule: str, value: str, code: str) -> None:
    shop = shop_of(service, f"po_often_{code}", **{f"risk.{rule}": value})
    paid(shop.pay())
    paid(shop.pay())
    result = shop.pay()
    assert (result.status, result.code) == (412, code)
    number = "4000000000001091" if rule == "card_counts" else "5200000000001005"
    paid(shop.pay(card__number=number, customer_ip="192.0.2.10" if rule == "card_counts" else "192.0.2.11"))


def test_refunds_of_a_day(service: Service) -> None:
    shop = shop_of(service, "po_refunds", **{"risk.refunds_per_day": '{"JPY": 1000}'})
    first, second = paid(shop.pay()), paid(shop.pay())
    paid(shop.follow("refund", first.id, amount=700))
    result = shop.follow("refund", second.id, amount=301)
    assert (result.status, result.code, result.response_code) == (412, "ERR3020", -8020)


def test_a_decline_has_the_status_that_the_merchant_wants(service: Service) -> None:
    shop = shop_of(service, "po_412", **{"paymentoptions.decline_status": "412"})
    result = shop.post("payment", shop.body(), {"kessai-scenario": "stolen-or-lost"})
    assert (result.status, result.code, result.response_code) == (412, "ERR0041", 41)


def test_a_lost_answer_is_unknown_and_then_undone(service: Service) -> None:
    shop = shop_of(service, "po_lost")
    result = shop.post("payment", shop.body(), {"kessai-scenario": "answer-lost"})
    assert (result.status, result.success, result.code, result.response_code) == (504, False, "ERR0068", 68)
    assert result.id
    service.until_quiet()
    assert shop.client.status(result.id).success is False
    service.assert_books()


def test_an_acquirer_that_fails(service: Service) -> None:
    shop = shop_of(service, "po_failing")
    result = shop.post("payment", shop.body(), {"kessai-scenario": "system-error"})
    assert (result.status, result.success, result.code) == (502, False, "ERR0096")


def test_settings_of_answers(service: Service) -> None:
    shop = shop_of(
        service,
        "po_settings",
        **{
            "paymentoptions.shipping_in_answer": "true",
            "paymentoptions.phone_in_status": "true",
            "paymentoptions.card_beside_stored": "use-stored",
            "paymentoptions.token_in_answer": "false",
        },
    )
    address = shop.body()["billing_address"]
    sold = paid(shop.pay(shipping_address=address, payment_method__store_payment_method=True))
    assert sold.document["merchant_details"]["billing_details"]["shipping_address"] == address
    status = shop.client.status(sold.id).document["transaction_details"]["billing_details"]
    assert status["billing_address"]["phone_number"] == address["phone_number"]
    again = paid(shop.pay(card__number="4000000000001091", payment_method__stored_payment_method_id=sold.token))
    assert again.document["payment_details"]["scheme"] == "MASTERCARD"
    assert again.token == ""


# ---- Japanese payment options


@pytest.fixture
def smcc(service: Service) -> Shop:
    return shop_of(service, "po_smcc", "smcc")


def with_option(shop: Shop, **option: object) -> dict[str, object]:
    return shop.body(card__number="4000000000001091", amount="60000", payment_method__japan_payment_options=option)


def test_installments(smcc: Shop) -> None:
    sold = paid(smcc.post("authorization", with_option(smcc, payment_division="61", installments=12)))
    details = sold.document["payment_details"]
    assert details["japan_payment_options"] == {"payment_division": "61", "installments": 12}
    assert smcc.client.status(sold.id).document["payment_details"]["japan_payment_options"]["installments"] == 12


@pytest.mark.parametrize(
    ("option", "member", "number"),
    [
        ({"payment_division": "99"}, "payment_division", 601),
        ({"payment_division": "61", "installments": "x"}, "installments", 597),
        ({"payment_division": "61", "first_billing_month": 13}, "first_billing_month", 596),
        ({"payment_division": "22", "bonus_month": "14"}, "bonus_month", 594),
        ({"payment_division": "34", "bonus_amount": "x"}, "bonus_amount", 595),
        ({"payment_division": "24", "bonus_count": "9"}, "bonus_count", 593),
    ],
)
def test_an_option_that_cannot_be(smcc: Shop, option: dict[str, object], member: str, number: int) -> None:
    result = smcc.post("authorization", with_option(smcc, **option))
    assert (result.status, result.response_code) == (400, number)
    assert f"payment_method.japan_payment_options.{member}" in result.message


# ---- the tables


def test_everything_that_can_end_has_something_to_be_said() -> None:
    source = inspect.getsource(codes)
    assert all(source.count(f"    Reason.{reason.name}: ") == 1 for reason in codes.REASONS), "one line for each"
    assert set(codes.REASONS) == set(Reason)
    assert {*codes.REASONS.values(), *codes.OPTION_FIELDS.values()} <= set(ACQUIRER)
    assert set(codes.REFUSALS) == set(Refusal)
    assert set(codes.RISK) == set(Rule)
    assert len({said.code for said in codes.RISK.values()}) == len(codes.RISK)
