"""The official client, unmodified, against a live server: three authentications, every operation, plain http and https.

What each call brought back is compared here; `drive.py` made the calls. Paths are the client's own attribute names.
"""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from kessai.books import Report

Json = dict[str, Any]

ROOT: Final = Path(__file__).parents[3]
AUTHENTICATIONS: Final = ("signature", "certificate", "secret", "encrypted")
METHODS: Final = ("10", "21", "22", "23", "24", "31", "32", "33", "34", "61", "80")

PAYMENT: Final = "PtsV2PaymentsPost201Response"
INCREMENT: Final = "PtsV2IncrementalAuthorizationPatch201Response"
CAPTURE: Final = "PtsV2PaymentsCapturesPost201Response"
REVERSAL: Final = "PtsV2PaymentsReversalsPost201Response"
REFUND: Final = "PtsV2PaymentsRefundPost201Response"
CREDIT: Final = "PtsV2CreditsPost201Response"
VOID: Final = "PtsV2PaymentsVoidsPost201Response"
DETAILS: Final = "TssV2TransactionsGet200Response"
SEARCH: Final = "TssV2TransactionsPost201Response"
READS: Final = ("search again",)
"""Calls that create nothing, of a model that creates."""

_AUTHORIZED: Final = "order_information.amount_details.authorized_amount"
_TOTAL: Final = "order_information.amount_details.total_amount"
_REASON: Final = "error_information.reason"
_STATE: Final = "application_information.status"
_SORT: Final = "id:asc,submitTimeUtc:asc"

# Call, the model it is decoded into, and attributes of that model with their values.
ANSWERED: Final[tuple[tuple[str, str, Json], ...]] = (
    (
        "authorization",
        PAYMENT,
        {
            "status": "AUTHORIZED",
            "client_reference_information.code": "sdk-1",
            _AUTHORIZED: "102.21",
            "order_information.amount_details.currency": "USD",
            "payment_account_information.card.type": "001",
            "processor_information.approval_code": "888888",
            "processor_information.avs.code": "X",
            "processor_information.card_verification.result_code": "M",
            "links.capture.method": "POST",
        },
    ),
    ("capture", CAPTURE, {"status": "PENDING", _TOTAL: "100.00", "links.void.method": "POST"}),
    (
        "refund of a capture",
        REFUND,
        {
            "status": "PENDING",
            "refund_amount_details.refund_amount": "10.00",
            "refund_amount_details.currency": "USD",
            "links.void.method": "POST",
        },
    ),
    (
        "void of a refund",
        VOID,
        {"status": "VOIDED", "void_amount_details.void_amount": "10.00", "void_amount_details.currency": "usd"},
    ),
    ("details of a capture", DETAILS, {"status": "PENDING", _STATE: "PENDING", _TOTAL: "100.00"}),
    ("reversal of the rest", REVERSAL, {"status": "REVERSED", "reversal_amount_details.reversed_amount": "2.21"}),
    ("void of a capture", VOID, {"status": "VOIDED", "void_amount_details.void_amount": "100.00"}),
    ("sale", PAYMENT, {"status": "AUTHORIZED", _TOTAL: "51.00", _AUTHORIZED: "51.00"}),
    (
        "details of a sale",
        DETAILS,
        {
            "status": "AUTHORIZED",
            "application_information.reason_code": "100",
            "payment_information.card.prefix": "411111",
            "payment_information.card.suffix": "1111",
            "order_information.bill_to.first_name": "Hanako",
            "processor_information.approval_code": "888888",
        },
    ),
    ("refund of a sale", REFUND, {"status": "PENDING", "refund_amount_details.refund_amount": "51.00"}),
    ("void of a sale", VOID, {"status": "VOIDED", "void_amount_details.void_amount": "52.00"}),
    (
        "reversal",
        REVERSAL,
        {
            "status": "REVERSED",
            "reversal_amount_details.reversed_amount": "53.00",
            "reversal_amount_details.currency": "USD",
            "processor_information.response_code": "200",
        },
    ),
    ("details of a reversed payment", DETAILS, {"status": "REVERSED", _STATE: "REVERSED"}),
    (
        "credit",
        CREDIT,
        {
            "status": "PENDING",
            "credit_amount_details.credit_amount": "200.00",
            "credit_amount_details.currency": "USD",
            "links.void.method": "POST",
        },
    ),
    ("void of a credit", VOID, {"status": "VOIDED", "void_amount_details.void_amount": "200.00"}),
    (
        "eCheck",
        PAYMENT,
        {"status": "PENDING", _TOTAL: "70.00", "processor_information.response_code": "100"},
    ),
    (
        "details of an eCheck",
        DETAILS,
        {
            "status": "PENDING",
            _STATE: "PENDING",
            "payment_information.bank.account.suffix": "1828",
            "payment_information.bank.routing_number": "071923284",
            "payment_information.payment_type.name": "CHECK",
        },
    ),
    ("refund of an eCheck", REFUND, {"status": "PENDING", "refund_amount_details.refund_amount": "20.00"}),
    ("eCheck credit", CREDIT, {"status": "PENDING", "credit_amount_details.credit_amount": "70.00"}),
    ("pre-authorization", PAYMENT, {"status": "AUTHORIZED", "processor_information.approval_code": "831000"}),
    ("increment", INCREMENT, {"status": "AUTHORIZED", _AUTHORIZED: "22.49"}),
    ("capture of both", CAPTURE, {"status": "PENDING", _TOTAL: "122.49"}),
    ("authorization with a transaction id", PAYMENT, {"status": "AUTHORIZED", _AUTHORIZED: "61.00"}),
    ("time-out reversal", REVERSAL, {"status": "REVERSED", "reversal_amount_details.reversed_amount": "61.00"}),
    ("time-out void", VOID, {"status": "VOIDED", "void_amount_details.void_amount": "61.00"}),
    ("reversal of a lost answer", REVERSAL, {"status": "REVERSED", "reversal_amount_details.reversed_amount": "62.00"}),
    ("japan 10 reversal", REVERSAL, {"status": "REVERSED", "reversal_amount_details.reversed_amount": "12000"}),
    ("japan 34 capture", CAPTURE, {"status": "PENDING", _TOTAL: "12000"}),
    ("japan credit", CREDIT, {"status": "PENDING", "credit_amount_details.credit_amount": "3000"}),
    (
        "decline",
        PAYMENT,
        {"status": "DECLINED", _REASON: "PROCESSOR_DECLINED", "processor_information.response_code": "303"},
    ),
    ("details of a decline", DETAILS, {"status": "DECLINED", _REASON: "PROCESSOR_DECLINED"}),
    ("expired card", PAYMENT, {"status": "DECLINED", _REASON: "EXPIRED_CARD"}),
    ("invalid card", PAYMENT, {"status": "DECLINED", _REASON: "INVALID_ACCOUNT"}),
    ("partial approval", PAYMENT, {"status": "PARTIAL_AUTHORIZED", _TOTAL: "1000.00", _AUTHORIZED: "499.01"}),
    ("decline by scenario", PAYMENT, {"status": "DECLINED", _REASON: "PROCESSOR_DECLINED"}),
    ("search", SEARCH, {"save": True, "name": "MRN", "limit": 100, "count": 1, "total_count": 1, "sort": _SORT}),
    ("search again", SEARCH, {"save": True, "timezone": "America/Chicago", "count": 1, "total_count": 1}),
    ("search for nothing", SEARCH, {"save": False, "limit": 20, "count": 0, "total_count": 0, "embedded": None}),
)

# Call, HTTP status, what the exception's body says, and the fields that it names with one reason.
REFUSED: Final[tuple[tuple[str, int, Json, tuple[str, ...]], ...]] = (
    ("second reversal", 400, {"status": "INVALID_REQUEST", "reason": "AUTH_ALREADY_REVERSED"}, ()),
    ("increment elsewhere", 400, {"status": "INVALID_REQUEST", "reason": "NOT_SUPPORTED"}, ()),
    ("time-out void of nothing", 400, {"status": "INVALID_REQUEST", "reason": "INVALID_DATA"}, ()),
    ("refund of a decline", 400, {"status": "INVALID_REQUEST", "reason": "INVALID_DATA"}, ()),
    ("capture of nothing", 400, {"status": "INVALID_REQUEST", "reason": "INVALID_DATA"}, ()),
    ("japan 99", 400, {"reason": "INVALID_DATA"}, ("processingInformation.japanPaymentOptions.paymentMethod",)),
    ("month 13", 400, {"reason": "INVALID_DATA"}, ("paymentInformation.card.expirationMonth",)),
    (
        "missing fields",
        400,
        {"status": "INVALID_REQUEST", "reason": "MISSING_FIELD"},
        (
            "paymentInformation.card.number",
            "paymentInformation.card.expirationMonth",
            "paymentInformation.card.expirationYear",
            "orderInformation.amountDetails.currency",
            "orderInformation.amountDetails.totalAmount",
            "orderInformation.billTo.firstName",
            "orderInformation.billTo.lastName",
            "orderInformation.billTo.address1",
            "orderInformation.billTo.locality",
            "orderInformation.billTo.country",
            "orderInformation.billTo.email",
        ),
    ),
    ("details of nothing", 404, {"message": "The requested resource does not exist"}, ()),
    ("system error", 502, {"status": "SERVER_ERROR", "reason": "SYSTEM_ERROR"}, ()),
    ("lost answer", 502, {"status": "SERVER_ERROR", "reason": "SERVER_TIMEOUT"}, ()),
    ("search in vain", 400, {"status": "INVALID_REQUEST"}, ("query",)),
    ("unknown search", 404, {"message": "The requested resource does not exist"}, ()),
    ("wrong key", 401, {"response": {"rmsg": "Authentication Failed"}}, ()),
    ("wrong key reads", 401, {"response": {"rmsg": "Authentication Failed"}}, ()),
)

# Wire members (or all below them) that are right and published, but that the client's models have no attribute for.
# Those of the transaction details are partly ours: they tell what was asked and answered in the payment's own words.
_CARD_TYPES: Final = ("paymentInformation.card.type", "paymentInformation.tokenizedCard.type")
_TRANSACTION_ID: Final = "clientReferenceInformation.transactionId"
_CURRENCY: Final = "orderInformation.amountDetails.currency"
_SLIP: Final = "processorInformation.salesSlipNumber"
_CATEGORY: Final = "processorInformation.responseCategoryCode"
DROPPED: Final[dict[str, tuple[str, ...]]] = {
    PAYMENT: ("_links.authReversal.", "_links.void.", _TRANSACTION_ID, _SLIP),
    INCREMENT: (
        "_links.authReversal.",
        "_links.capture.",
        *_CARD_TYPES,
        "paymentAccountInformation.card.type",
        "processorInformation.avs.",
        "processorInformation.consumerAuthenticationResponse.",
        "processorInformation.retrievalReferenceNumber",
    ),
    CAPTURE: (),
    REVERSAL: (_TRANSACTION_ID, _CURRENCY),
    REFUND: (_CURRENCY,),
    CREDIT: (*_CARD_TYPES, _CURRENCY, _CATEGORY, _SLIP),
    VOID: (_TRANSACTION_ID, _CURRENCY),
    SEARCH: ("_embedded.transactionSummaries[].errorInformation.message",),
    DETAILS: (
        "clientReferenceInformation.partner.developerId",
        "kessaiInformation.warnings",
        "processingInformation.capture",
        "processingInformation.fundingOptions.firstRecurringPayment",
        "processingInformation.japanPaymentOptions.businessNameAlphaNumeric",
        "processingInformation.japanPaymentOptions.installments",
        "processorInformation.cardVerification.resultCodeRaw",
        "processorInformation.forwardedAcquirerCode",
        _CATEGORY,
        _SLIP,
    ),
}


def at(answer: Json, path: str) -> Any:
    """An attribute of a decoded answer; None where it was not set."""
    value: Any = answer
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def answered(day: Json, name: str) -> Json:
    """The attributes of an answer that was decoded."""
    assert "answer" in day[name], f"{name}: {day[name]}"
    answer: Json = day[name]["answer"]
    return answer


def calls(play: Json) -> dict[str, Json]:
    return {name: noted for name, noted in play.items() if name != "version"}


@pytest.fixture(params=AUTHENTICATIONS)
def day(request: pytest.FixtureRequest, played: Json) -> Json:
    """What came of a merchant's day, by authentication."""
    noted: Json = played[request.param]
    return noted


def test_a_missing_client_is_a_failure_that_says_how_to_get_it(
    client_python: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(pytest.fail.Exception, match="`make test` makes it"):
        client_python(tmp_path)


def test_the_client_is_the_one_that_the_project_pins(day: Json) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert f"cybersource-rest-client-python =={day['version']}" in project["dependency-groups"]["sdk"]


@pytest.mark.parametrize(("name", "model", "expected"), ANSWERED, ids=[name for name, _, _ in ANSWERED])
def test_an_answer_is_decoded_by_its_model(day: Json, name: str, model: str, expected: Json) -> None:
    answer = answered(day, name)
    assert day[name]["model"] == model
    assert day[name]["status"] == (200 if model == DETAILS or name in READS else 201)
    assert {path: at(answer, path) for path in expected} == expected


@pytest.mark.parametrize(("name", "status", "expected", "fields"), REFUSED, ids=[name for name, _, _, _ in REFUSED])
def test_a_refusal_is_an_exception_with_its_body(
    day: Json, name: str, status: int, expected: Json, fields: tuple[str, ...]
) -> None:
    assert day[name].get("status") == status, day[name]
    error = day[name]["error"]
    assert {member: error.get(member) for member in expected} == expected
    reason = error.get("reason", "INVALID_DATA")
    assert error.get("details", []) == [{"field": field, "reason": reason} for field in fields]


def test_every_call_reached_an_answer(day: Json) -> None:
    assert {name: noted["failed"] for name, noted in calls(day).items() if "failed" in noted} == {}
    decoded = {name for name, noted in calls(day).items() if "answer" in noted}
    assert len(decoded) + len(REFUSED) == len(calls(day))


def test_the_models_hold_all_of_an_answer_but_known_members(day: Json) -> None:
    unknown = {
        name: [path for path in noted["lost"] if not path.startswith(DROPPED[noted["model"]])]
        for name, noted in calls(day).items()
        if "lost" in noted
    }
    assert {name: paths for name, paths in unknown.items() if paths} == {}


def test_ids_and_links_lead_from_each_answer_to_the_next(day: Json) -> None:
    payment, capture = answered(day, "authorization")["id"], answered(day, "capture")["id"]
    assert at(answered(day, "authorization"), "links._self.href") == f"/pts/v2/payments/{payment}"
    assert at(answered(day, "authorization"), "links.capture.href") == f"/pts/v2/payments/{payment}/captures"
    assert at(answered(day, "capture"), "links.void.href") == f"/pts/v2/captures/{capture}/voids"
    details = answered(day, "details of a capture")
    assert (details["id"], details["root_id"]) == (capture, payment)
    related = [link["href"].rpartition("/")[2] for link in details["links"]["related_transactions"]]
    assert payment in related
    assert answered(day, "refund of a capture")["id"] in related
    assert answered(day, "increment")["id"] == answered(day, "pre-authorization")["id"]


def test_a_search_finds_what_was_paid(day: Json) -> None:
    first, again = answered(day, "search"), answered(day, "search again")
    (summary,) = first["embedded"]["transaction_summaries"]
    assert summary["id"] == answered(day, "authorization to find")["id"]
    assert summary["client_reference_information"]["code"] == "sdk-1"
    assert summary["order_information"]["amount_details"] == {"total_amount": "54.00", "currency": "USD"}
    assert summary["application_information"]["applications"][0]["name"] == "ics_auth"
    assert summary["links"]["transaction_detail"]["href"].endswith(f"/tss/v2/transactions/{summary['id']}")
    assert again["search_id"] == first["search_id"]
    assert again["embedded"] == first["embedded"]


def test_the_details_of_a_sale_name_both_of_its_steps(day: Json) -> None:
    steps = answered(day, "details of a sale")["application_information"]["applications"]
    assert [(step["name"], step["r_flag"], step["return_code"]) for step in steps] == [
        ("ics_auth", "SOK", 1010000),
        ("ics_bill", "SOK", 1010000),
    ]


@pytest.mark.parametrize("method", METHODS)
def test_every_japanese_payment_method_is_authorized(day: Json, method: str) -> None:
    answer = answered(day, f"japan {method}")
    assert answer["status"] == "AUTHORIZED"
    assert answer["order_information"]["amount_details"] == {"authorized_amount": "12000", "currency": "JPY"}
    assert answer["processor_information"]["forwarded_acquirer_code"] == "Sumitomo"
    assert answer["processor_information"]["response_category_code"] == "000"
    assert isinstance(answer["order_information"]["invoice_details"]["sales_slip_number"], int)


PLANS: Final[dict[str, Json]] = {
    "22": {"bonuses": [{"month": "07", "amount": "12000"}]},
    "24": {"bonuses": [{"month": "07", "amount": "6000"}, {"month": "12", "amount": "6000"}]},
    "33": {"number_of_installments": "6", "bonuses": [{"amount": "4000"}, {"amount": "4000"}]},
    "34": {"number_of_installments": "6", "first_billing_month": "06"},
    "61": {"number_of_installments": "12", "first_billing_month": "04"},
    "80": {"first_billing_month": "05"},
}


@pytest.mark.parametrize("method", METHODS)
def test_the_details_show_a_japanese_payment_method_as_it_was_asked_for(day: Json, method: str) -> None:
    options = answered(day, f"japan {method} details")["processing_information"]["japan_payment_options"]
    expected = {
        "payment_method": method,
        "business_name": "株式会社青空",
        "business_name_english": "AOZORA",
        "business_name_katakana": "アオゾラ",
        **PLANS.get(method, {}),
    }
    assert {name: options.get(name) for name in expected} == expected


def test_a_test_merchant_is_told_why_its_key_was_refused(day: Json) -> None:
    assert "under key" in day["wrong key"]["explanation"]


@pytest.mark.parametrize("authentication", AUTHENTICATIONS)
def test_https_works_with_the_run_environment_alone(played: Json, authentication: str) -> None:
    play = played["https"]
    assert answered(play, f"{authentication} authorization")["status"] == "AUTHORIZED"
    assert answered(play, f"{authentication} capture")["status"] == "PENDING"
    details = answered(play, f"{authentication} details")
    assert details["links"]["_self"]["href"].startswith("https://localhost:")
    assert details["merchant_id"] == f"sdk_{authentication}_sandbox"


def test_the_client_checks_the_certificate_of_the_server(played: Json) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in played["distrust"]["distrusted"]["failed"]


def test_what_the_client_can_encrypt_came_and_went_encrypted(played: Json) -> None:
    """Payments and all that follows them; refusals too. What it reads has no body to encrypt, and is answered so."""
    envelopes = played["envelopes"]
    assert envelopes.requests["payments"] > 20
    assert envelopes.requests.keys() >= {"payments", "captures", "reversals", "refunds", "voids", "credits"}
    assert envelopes.requests.keys() >= {"searches", "customers", "payment-instruments", "instrumentidentifiers"}
    assert envelopes.requests["tokenize"] == 3, "with each JSON Web Token"
    assert envelopes.answers.keys() >= {200, 201, 400, 404, 502}
    assert envelopes.answers.total() > envelopes.requests.total()


# The rest of a partly reversed hold whose capture was voided, one that nobody touched, one approved in part.
_HELD: Final = 10_000 + 10_000 + 49_901


@pytest.mark.parametrize("authentication", AUTHENTICATIONS)
def test_the_books_hold_what_the_client_left_open_and_no_more(played: Json, authentication: str) -> None:
    report: Report = played["books"]
    assert report.findings == ()
    prefix = f"sdk_{authentication}_"
    balances = {
        (merchant.removeprefix(prefix), account): minor
        for merchant, account, _, minor in report.balances
        if merchant.startswith(prefix)
    }
    assert balances["sandbox", "held-by-issuers"] == _HELD
    echecks = 7_000 - 2_000 - 7_000  # debited, refunded, credited
    assert balances["sandbox", "merchant"] == -10_221 - echecks  # captured over https; all else was voided or refunded
    assert balances["vpc", "held-by-issuers"] == 0
    assert balances["vpc", "merchant"] == -12_249
    assert balances["smcc", "held-by-issuers"] == 9 * 12_000  # eleven, one of them reversed and one captured
    assert balances["smcc", "merchant"] == 3_000 - 12_000
