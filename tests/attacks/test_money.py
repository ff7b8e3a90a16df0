"""Money and lifecycle: amounts that are none, orders that cannot be, and everything at once."""

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from tests.acceptance.client import (
    AUTHORIZED,
    MASTERCARD,
    PENDING,
    REVERSED,
    VOIDED,
    Client,
    Json,
    Reply,
    Service,
    amount_of,
    changed,
    declined,
    japanese,
    payment,
    refused,
)
from tests.attacks.harm import estate, head, is_refused, nothing_moves, raw, statuses

PATH = "/pts/v2/payments"
NUMBER = "paymentInformation.card.number"
MONTH, YEAR = "paymentInformation.card.expirationMonth", "paymentInformation.card.expirationYear"
CODE = "paymentInformation.card.securityCode"
TOTAL = "orderInformation.amountDetails.totalAmount"
FOREIGN = str.maketrans("0123456789", "０１２３４５６７８９"), str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


@pytest.mark.parametrize(
    "sent",
    ["-1", "-0.01", "", " ", "+5", " 5 ", "1e3", "1e1000000", "0x10", "1_000", "1,000.00", "NaN", "sNaN", "9" * 13],
)
@pytest.mark.parametrize("operation", ["payments", "captures", "refunds", "reversals", "credits"])
def test_what_is_no_amount_is_none_for_any_operation(
    service: Service, till: Client, sold: tuple[str, str], operation: str, sent: str
) -> None:
    """A-30, A-31, A-34."""
    held, taken = sold
    asks: dict[str, Callable[[], Reply]] = {
        "payments": lambda: till.pay(payment(sent)),
        "captures": lambda: till.capture(held, sent),
        "refunds": lambda: till.refund(taken, sent),
        "reversals": lambda: till.reverse(held, sent),
        "credits": lambda: till.credit(payment(sent)),
    }
    with nothing_moves(service, "request.refused"):
        is_refused(asks[operation](), 400)


@pytest.fixture(scope="module")
def sold(service: Service) -> tuple[str, str]:
    """An authorization and a sale that nobody will move."""
    till = service.till()
    return till.approved(till.pay()), till.approved(till.sell())


@pytest.mark.parametrize("script", FOREIGN, ids=["full width", "Arabic"])
@pytest.mark.parametrize(
    ("path", "digits"), [(TOTAL, "100.00"), (NUMBER, "4111111111111111"), (MONTH, "12"), (YEAR, "2031"), (CODE, "123")]
)
def test_digits_of_other_scripts_are_no_digits(
    service: Service, till: Client, path: str, digits: str, script: dict[int, int]
) -> None:
    """A-32."""
    with nothing_moves(service, "request.refused"):
        reply = till.pay(changed(payment(), {path: digits.translate(script)}))
        is_refused(reply, 400)
        assert reply.fields == [(path, "INVALID_DATA")]


@pytest.mark.parametrize("sent", [True, 1.0, 10**30, [], {}, None, [["1"]], {"totalAmount": "1"}])
def test_an_amount_of_another_kind_is_exact_or_refused(service: Service, till: Client, sent: object) -> None:
    """A-35: 1.0 is one, and everything else here is nothing."""
    before = estate(service)
    reply = till.pay(payment(sent))
    if sent == 1.0 and sent is not True:
        assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == "1.00"
    else:
        is_refused(reply, 400)
        assert estate(service) == before


PANS = {
    "7 digits": ("4111111", 201),
    "12 digits, unknown BIN": ("999999999997", 201),
    "20 digits": ("41111111111111111111", 201),
    "21 digits": ("4" * 21, 400),
    "bad check digit": ("4111111111111112", 201),
    "spaces": ("4111 1111 1111 1111", 400),
    "dashes": ("4111-1111-1111-1111", 400),
    "leading zeros": ("0004111111111111", 201),
    "all zeros": ("0" * 16, 201),
    "unknown BIN, bad check digit": ("9999999999999999", 201),
    "letters": ("4111x11111111111", 400),
    "a megapan": ("4" * 30_000, 400),
}


@pytest.mark.parametrize(("number", "said"), PANS.values(), ids=PANS)
def test_a_number_that_no_card_has_moves_nothing(till: Client, number: str, said: int) -> None:
    """A-68: malformed is 400; well formed and impossible is a decline, as the wire has it. Nothing is held."""
    before = dict(till.service.book().held)
    reply = till.pay(payment(number=number))
    assert reply.status == said
    if said == 201:
        assert reply.said == declined("INVALID_ACCOUNT")
    else:
        assert reply.said == refused("INVALID_DATA")
        assert reply.fields == [(NUMBER, "INVALID_DATA")]
    assert number not in reply.body.decode()
    assert dict(till.service.book().held) == before


def test_a_payment_that_is_over_is_not_captured(service: Service, vpc: Client) -> None:
    """A-38: after its reversal, its void, its capture; each refused by name."""
    over = [(vpc.approved(vpc.pay()), reason) for reason in ("AUTH_ALREADY_REVERSED", "EXCEEDS_AUTH_AMOUNT")]
    (back, _), (full, _) = over
    assert vpc.reverse(back).said == REVERSED
    assert vpc.capture(full).said == PENDING
    voided = vpc.approved(vpc.sell())
    assert vpc.void(voided).said == VOIDED
    with nothing_moves(service, "request.refused"):
        for made, reason in over:
            assert vpc.capture(made).said == refused(reason)
        is_refused(vpc.capture(voided), 400)


def test_a_payment_that_has_lapsed_is_not_captured(alone: Service) -> None:
    """A-38: half a year later. Rows are not counted: jobs forget what is due by then."""
    vpc = alone.till("kessai_vpc")
    lapsed = vpc.approved(vpc.pay())
    alone.clock.moved = timedelta(days=181)
    assert vpc.capture(lapsed).said == refused("MISSING_AUTH")
    assert alone.book("vpc").moved == {}


def test_no_sum_of_captures_exceeds_its_authorization(service: Service, vpc: Client) -> None:
    """A-37, A-49: to the last minor unit, and then not one more."""
    made = vpc.approved(vpc.pay(payment("0.20")))
    for _ in range(20):
        assert vpc.capture(made, "0.01").said == PENDING
    with nothing_moves(service, "request.refused"):
        assert vpc.capture(made, "0.01").said == refused("EXCEEDS_AUTH_AMOUNT")
    service.assert_books()


def test_a_refund_names_no_card_of_its_own(service: Service, till: Client, sold: tuple[str, str]) -> None:
    """A-47."""
    _, taken = sold
    other = amount_of("1.00") | {"paymentInformation": {"card": {"number": MASTERCARD}}}
    with nothing_moves(service, "request.refused"):
        reply = till.post(f"{PATH}/{taken}/refunds", other)
        is_refused(reply, 400)
        assert reply.fields == [(NUMBER, "INVALID_DATA")]


OPTIONS: list[Json] = [
    *[{"paymentMethod": "61", "installments": count} for count in ("0", "1", "-1", "100", "12.5", "１２", " 3", [3])],
    {"paymentMethod": "61", "installments": 12.5},
    {"paymentMethod": "22", "bonusMonth": "13"},
    {"paymentMethod": "24", "bonuses": [{"month": "0"}, {"month": "13"}]},
    {"paymentMethod": "00"},
]


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_a_payment_option_that_cannot_be_is_refused(service: Service, smcc: Client, option: Json) -> None:
    """A-46."""
    with nothing_moves(service, "request.refused"):
        reply = smcc.pay(japanese(**option))
        is_refused(reply, 400)
        assert reply.fields


def test_a_method_that_the_contract_does_not_have_is_refused_where_the_merchant_is_strict(service: Service) -> None:
    """A-46: sixty-one installments that nobody offers; elsewhere they are warned of."""
    strict = service.merchant("strict_options", "smcc", strict_options="true")
    with nothing_moves(service, "request.refused"):
        is_refused(strict.pay(japanese(paymentMethod="61", installments="61")), 400)


def test_a_key_used_for_another_amount_is_refused_and_for_another_path_or_merchant_its_own(
    service: Service, till: Client, vpc: Client
) -> None:
    """A-42."""
    first = till.pay(payment("12.00"), Idempotency_Key="a-42")
    with nothing_moves(service, "request.refused"):
        assert till.pay(payment("12.01"), Idempotency_Key="a-42").said == refused("DUPLICATE_REQUEST")
    assert till.credit(payment("12.00"), Idempotency_Key="a-42").said == PENDING
    assert vpc.pay(payment("12.00"), Idempotency_Key="a-42").id != first.id


def test_fifty_requests_at_once_with_one_key_are_one_payment(service: Service, till: Client) -> None:
    """A-43."""
    barrier, before = Barrier(50), len(service.book().held)

    def send(_: int) -> Reply:
        barrier.wait()
        return till.pay(payment("43.00"), Idempotency_Key="a-43")

    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(send, range(50)))
    assert {reply.status for reply in replies} <= {201, 409}
    assert len({reply.body for reply in replies if reply.status == 201}) == 1
    assert len(service.book().held) == before + 1


@pytest.mark.parametrize("key", ["", "k" * 256, "k" * 10_000, "k\tk", "caf\u00e9"])
def test_a_key_that_is_none_is_refused(service: Service, till: Client, key: str) -> None:
    """A-44."""
    body = json.dumps(payment("44.00")).encode()
    headers = till.signed("POST", PATH, body)
    sent = headers | {"idempotency-key": key, "content-length": str(len(body)), "connection": "close"}
    with nothing_moves(service, "request.refused"):
        got = raw(service, head("POST", PATH, sent) + body)
        assert statuses(got) == [400]
        assert b"Idempotency-Key" in got


def test_a_key_with_a_line_break_ends_the_request(service: Service, till: Client) -> None:
    """A-44, A-90."""
    body = json.dumps(payment("44.00")).encode()
    headers = till.signed("POST", PATH, body) | {"content-length": str(len(body))}
    with nothing_moves(service, "kessai.server"):
        for forged in ("k\r\n v", "k\nsignature: x", "k\0", "k\x7f"):
            assert statuses(raw(service, head("POST", PATH, headers | {"idempotency-key": forged}) + body)) == [400]


@pytest.mark.parametrize("share", [1.0, 0.5], ids=["after sending", "in the middle of the body"])
@pytest.mark.parametrize("times", [8])
def test_a_client_that_hangs_up_finds_its_answer_when_it_comes_back(
    service: Service, till: Client, share: float, times: int
) -> None:
    """A-45, R-11: what arrived whole is done once; what did not is not done; the retry tells."""
    before = len(service.book().held)
    for number in range(times):
        body = json.dumps(payment(f"45.{number:02d}")).encode()
        key = f"a-45-{share}-{number}"
        headers = till.signed("POST", PATH, body) | {"content-length": str(len(body)), "idempotency-key": key}
        _send_and_leave(service, head("POST", PATH, headers) + body[: int(len(body) * share)])
    service.until_quiet()
    for number in range(times):
        reply = till.pay(payment(f"45.{number:02d}"), Idempotency_Key=f"a-45-{share}-{number}")
        while reply.status == 409:
            reply = till.pay(payment(f"45.{number:02d}"), Idempotency_Key=f"a-45-{share}-{number}")
        assert reply.said == AUTHORIZED
        assert ("kessai-replayed" in reply.headers) == (share == 1.0)
    assert len(service.book().held) == before + times
    service.assert_books()


def _send_and_leave(service: Service, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.port), 5) as connection:
        connection.sendall(data)
