"""Japanese payment options over the wire: what is taken, what is refused by which field, what is only warned of."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.acceptance.client import (
    AUTHORIZED,
    JCB,
    MASTERCARD,
    PENDING,
    Client,
    Json,
    amount_of,
    changed,
    japanese,
    payment,
    refused,
)

PATH = "processingInformation.japanPaymentOptions"
TWO_BONUSES = [{"month": "08", "amount": "2000"}, {"month": "01", "amount": "2000"}]

METHODS: list[Json] = [
    {},
    {"paymentMethod": "10"},
    {"paymentMethod": "1"},
    {"paymentMethod": "21"},
    {"paymentMethod": "21", "bonuses": [{"month": "07", "amount": "12000"}]},
    {"paymentMethod": "2"},
    {"paymentMethod": "22", "bonuses": [{"month": "8"}]},
    {"paymentMethod": "23", "bonuses": "2"},
    {"paymentMethod": "24", "bonuses": [{"month": "08"}, {"month": "01"}]},
    {"paymentMethod": "31", "installments": "12"},
    {"paymentMethod": "6", "installments": "12", "firstBillingMonth": "04"},
    {"paymentMethod": "31", "installments": "12", "bonuses": TWO_BONUSES},
    {"paymentMethod": "32", "installments": "24", "bonuses": [{"month": "8"}, {"month": "1"}]},
    {"paymentMethod": "33", "installments": "24", "bonuses": "2", "bonusAmount": "2000"},
    {"paymentMethod": "34", "installments": "24", "bonuses": TWO_BONUSES},
    {"paymentMethod": "61", "installments": "3"},
    {"paymentMethod": "61", "installments": "2", "firstBillingMonth": "04"},
    {"paymentMethod": "4", "installments": 12},
    {"paymentMethod": "80", "installments": "12", "firstBillingMonth": "05"},
    {"paymentMethod": "5"},
    {"paymentMethod": "80"},
]


@pytest.mark.parametrize("merchant", ["kessai_smcc", "kessai_jcn"])
@pytest.mark.parametrize("option", METHODS, ids=str)
def test_every_method_is_authorized_in_the_same_shape(smcc: Client, merchant: str, option: Json) -> None:
    """Cases 82 to 84: by its own code and by the older one-digit one, whatever the contract has."""
    till = smcc.service.till(merchant)
    reply = till.pay(japanese(**option))
    assert reply.said == AUTHORIZED
    answer = reply.json
    slip = answer["orderInformation"]["invoiceDetails"]["salesSlipNumber"]
    assert re.fullmatch(r"[0-9]{5}", slip)
    assert answer["processorInformation"] == {
        "salesSlipNumber": slip,
        "approvalCode": "123456",
        "cardVerification": {"resultCode": "3"},
        "responseCategoryCode": "000",
        "forwardedAcquirerCode": "Sumitomo" if merchant == "kessai_smcc" else "JCN",
        "avs": {"code": "2"},
    }
    assert answer["orderInformation"]["amountDetails"] == {"authorizedAmount": "12000", "currency": "JPY"}
    assert not {"pointOfSaleInformation", "processingInformation"} & set(answer)


@pytest.mark.parametrize("option", METHODS, ids=str)
def test_details_show_the_option_as_it_was_sent(smcc: Client, option: Json) -> None:
    """§6.1."""
    shown = smcc.details(smcc.pay(japanese(**option)).id)["processingInformation"]["japanPaymentOptions"]
    assert shown["businessName"] == "株式会社青空"
    assert shown["businessNameKatakana"] == "アオゾラ"
    assert shown["businessNameAlphaNumeric"] == shown["businessNameEnglish"] == "AOZORA"
    for name in ("paymentMethod", "installments", "firstBillingMonth"):
        assert shown.get(name) == (str(option[name]) if name in option else None)
    if "installments" in option:
        assert shown["numberOfInstallments"] == str(option["installments"])


SHAPES: list[tuple[Json, list[Json | None]]] = [
    ({"bonuses": TWO_BONUSES}, [{"month": "08", "amount": "2000"}, {"month": "01", "amount": "2000"}]),
    ({"bonuses": [{"month": 8, "amount": 2000}, None]}, [{"month": "08", "amount": "2000"}, None]),
    (
        {
            "bonuses": "2",
            "bonusMonth": "8",
            "bonusAmount": "2000",
            "secondBonusMonth": "1",
            "secondBonusAmount": "2000",
        },
        [{"month": "08", "amount": "2000"}, {"month": "01", "amount": "2000"}],
    ),
    ({"bonusMonth": "8", "bonusAmount": "2000"}, [{"month": "08", "amount": "2000"}]),
    ({"bonuses": 2}, [None, None]),
]


@pytest.mark.parametrize(("sent", "shown"), SHAPES, ids=str)
def test_bonuses_have_three_shapes_and_one_meaning(smcc: Client, sent: Json, shown: list[Json | None]) -> None:
    """On payments and, as both references differ, on captures."""
    option = {"paymentMethod": "34", "installments": "24"} | sent
    made = smcc.pay(japanese(**option))
    assert made.said == AUTHORIZED
    assert smcc.details(made.id)["processingInformation"]["japanPaymentOptions"]["bonuses"] == shown
    document = amount_of("12000", "JPY") | {"processingInformation": {"japanPaymentOptions": option}}
    taken = smcc.post(f"/pts/v2/payments/{made.id}/captures", document)
    assert taken.said == PENDING
    assert smcc.details(taken.id)["processingInformation"]["japanPaymentOptions"]["bonuses"] == shown


def test_a_capture_inherits_the_option_of_its_authorization(smcc: Client) -> None:
    made = smcc.pay(japanese(paymentMethod="61", installments="3", firstBillingMonth="04"))
    taken = smcc.post(f"/pts/v2/payments/{made.id}/captures", amount_of("12000", "JPY"))
    shown = smcc.details(taken.id)["processingInformation"]["japanPaymentOptions"]
    assert (shown["paymentMethod"], shown["installments"], shown["firstBillingMonth"]) == ("61", "3", "04")


def test_a_credit_takes_method_and_count(smcc: Client) -> None:
    document = payment("5000", "JPY")
    document["processingInformation"] = {"japanPaymentOptions": {"paymentMethod": "61", "installments": "6"}}
    reply = smcc.credit(document)
    assert reply.said == PENDING
    shown = smcc.details(reply.id)["processingInformation"]["japanPaymentOptions"]
    assert (shown["paymentMethod"], shown["installments"]) == ("61", "6")


@pytest.mark.parametrize(
    ("kanji", "kana", "latin"),
    [
        ("我社", "わが社の場合", "OurStore"),
        ("株式会社青空", "ｱｵｿﾞﾗ", "AOZORA 24"),
        ("髙島屋", "タカシマヤ", "TAKASHIMAYA"),
        ("カフェ・ド・パリ", "カフエ-ド-パリ", "Cafe de Paris"),
    ],
)
def test_names_are_taken_in_the_letters_of_the_shop(smcc: Client, kanji: str, kana: str, latin: str) -> None:
    names = {"businessName": kanji, "businessNameKatakana": kana, "businessNameAlphaNumeric": latin}
    reply = smcc.pay(japanese(paymentMethod="10", **names))
    assert reply.said == AUTHORIZED
    shown = smcc.details(reply.id)["processingInformation"]["japanPaymentOptions"]
    assert {name: shown[name] for name in names} == names


@pytest.mark.parametrize("kind", range(7))
def test_the_preapproval_type_is_shown_under_both_its_names(smcc: Client, kind: int) -> None:
    reply = smcc.pay(japanese(paymentMethod="10", preapprovalType=kind))
    assert reply.said == AUTHORIZED
    shown = smcc.details(reply.id)["processingInformation"]["japanPaymentOptions"]
    assert shown["preapprovalType"] == shown["preApprovalType"] == str(kind)


@pytest.mark.parametrize("amount", ["0", "1"])
def test_a_card_is_checked_without_an_amount(smcc: Client, amount: str) -> None:
    reply = smcc.pay(japanese(amount, preapprovalType="1"))
    assert reply.said == AUTHORIZED
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == amount


def test_a_terminal_id_belongs_to_a_card_that_is_present(smcc: Client) -> None:
    retail = {"processingInformation.commerceIndicator": "retail", "pointOfSaleInformation": {"entryMode": "contact"}}
    with_id = smcc.pay(changed(japanese(paymentMethod="10", terminalId="1234512312345"), retail))
    assert with_id.said == AUTHORIZED
    assert smcc.warnings(with_id.id) == []
    shown = smcc.details(with_id.id)["processingInformation"]["japanPaymentOptions"]
    assert shown["terminalId"] == "1234512312345"
    without = smcc.pay(changed(japanese(paymentMethod="10"), retail))
    assert [text[:3] for text in smcc.warnings(without.id)] == ["J24"]


def test_the_reconciliation_id_carries_the_time_in_japan(smcc: Client) -> None:
    """Case 82."""
    answer = smcc.pay(japanese()).json
    found = re.fullmatch(r"00([0-9]{14})000000000001", answer["reconciliationId"])
    assert found is not None
    japan = timezone(timedelta(hours=9))
    local = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=japan)
    utc = datetime.strptime(answer["submitTimeUtc"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(local - utc) <= timedelta(seconds=1)


def test_slip_numbers_grow_and_a_merchants_own_is_said_again(smcc: Client) -> None:
    def slip(document: Json) -> str:
        answer = smcc.pay(document).json
        number = answer["orderInformation"]["invoiceDetails"]["salesSlipNumber"]
        assert answer["processorInformation"]["salesSlipNumber"] == number
        assert isinstance(number, str)
        return number

    assert int(slip(japanese())) != int(slip(japanese()))
    assert slip(changed(japanese(), {"orderInformation.invoiceDetails": {"salesSlipNumber": 12345}})) == "12345"


def test_track_data_of_the_front_are_used_by_nobody_and_kept_nowhere(smcc: Client) -> None:
    track = "aJIS2TRACKDATA" + "0" * 50
    reply = smcc.pay(japanese(paymentMethod="10", jis2TrackData=track))
    assert reply.said == AUTHORIZED
    assert track not in str(smcc.details(reply.id))


# ---- what is refused, each by its own field

ERRORS: list[tuple[Json, str]] = [
    ({"paymentMethod": "99"}, "paymentMethod"),  # J01
    ({"paymentMethod": "3"}, "paymentMethod"),
    ({"paymentMethod": "1０"}, "paymentMethod"),
    ({"paymentMethod": {}}, "paymentMethod"),
    ({"paymentMethod": "61", "installments": "x"}, "installments"),  # J09
    ({"paymentMethod": "61", "installments": "1"}, "installments"),
    ({"paymentMethod": "61", "installments": "100"}, "installments"),
    ({"paymentMethod": "61", "installments": "3", "firstBillingMonth": "13"}, "firstBillingMonth"),  # J11
    ({"paymentMethod": "61", "installments": "3", "firstBillingMonth": "00"}, "firstBillingMonth"),
    ({"paymentMethod": "34", "installments": "6", "bonuses": "7"}, "bonuses"),  # J14
    ({"paymentMethod": "34", "installments": "6", "bonuses": "x"}, "bonuses"),
    ({"paymentMethod": "34", "installments": "6", "bonuses": [{"month": "8"}] * 7}, "bonuses"),
    ({"paymentMethod": "24", "bonuses": "2", "bonusMonth": "8"}, "bonuses"),
    ({"paymentMethod": "24", "bonuses": [{}, {}, {}]}, "bonuses"),
    ({"paymentMethod": "22", "bonuses": [{"month": "13"}]}, "bonuses[0].month"),  # J15
    ({"paymentMethod": "22", "bonusMonth": "0"}, "bonusMonth"),
    ({"paymentMethod": "24", "bonuses": "2", "bonusMonth": "8", "secondBonusMonth": "x"}, "secondBonusMonth"),
    (  # J16
        {"paymentMethod": "34", "installments": "2", "firstBillingMonth": "02", "bonuses": [{"month": "8"}]},
        "bonuses[0].month",
    ),
    ({"paymentMethod": "24", "bonuses": [{"month": "8"}, {"month": "7"}]}, "bonuses[1].month"),  # J17
    ({"paymentMethod": "24", "bonuses": "2", "bonusMonth": "8", "secondBonusMonth": "8"}, "secondBonusMonth"),
    ({"paymentMethod": "21", "bonuses": [{"amount": "12001"}]}, "bonuses"),  # J18
    ({"paymentMethod": "34", "installments": "6", "bonuses": [{"amount": "100000000"}]}, "bonuses[0].amount"),
    ({"paymentMethod": "34", "installments": "6", "bonusAmount": "1.5"}, "bonusAmount"),
    ({"preapprovalType": "7"}, "preapprovalType"),
    ({"terminalId": "12345678901234"}, "terminalId"),
]


@pytest.mark.parametrize(("option", "field"), ERRORS, ids=str)
def test_what_is_malformed_or_contradicts_itself_is_refused_on_its_own_field(
    smcc: Client, option: Json, field: str
) -> None:
    """J01, J09, J11, J14 to J18."""
    reply = smcc.pay(japanese(**option))
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [(f"{PATH}.{field}", "INVALID_DATA")]


def test_more_than_the_processor_takes_is_refused_on_the_amount(smcc: Client, jcn: Client) -> None:
    """J07."""
    total = [("orderInformation.amountDetails.totalAmount", "INVALID_DATA")]
    assert smcc.pay(japanese("99999999")).said == AUTHORIZED
    assert smcc.pay(japanese("100000000")).fields == total
    assert jcn.pay(japanese("100000000")).fields == total
    made = jcn.pay(japanese("20000000"))
    document = amount_of("10000000", "JPY")
    document["processingInformation"] = {"japanPaymentOptions": {"paymentMethod": "10"}}
    assert jcn.post(f"/pts/v2/payments/{made.id}/captures", document).fields == total


# ---- what is only warned of, but where the merchant wants it strict

WARNED: list[tuple[str, Json, str, str]] = [
    # rule, option, day in Japan, amount
    ("J08", {"paymentMethod": "61"}, "2027-02-10", "12000"),
    ("J10", {"paymentMethod": "61", "installments": "7"}, "2027-02-10", "12000"),
    ("J12", {"paymentMethod": "61", "installments": "3", "firstBillingMonth": "07"}, "2027-02-10", "12000"),
    ("J13", {"paymentMethod": "21"}, "2027-06-20", "12000"),
    ("J15", {"paymentMethod": "22", "bonuses": [{"month": "03"}]}, "2027-02-10", "12000"),
    (
        "J16",
        {"paymentMethod": "31", "installments": "6", "firstBillingMonth": "03", "bonuses": [{"month": "9"}]},
        "2027-02-10",
        "12000",
    ),
    ("J19", {"paymentMethod": "10", "bonuses": TWO_BONUSES}, "2027-02-10", "12000"),
    ("J20", {"paymentMethod": "10", "businessName": None}, "2027-02-10", "12000"),
    ("J25", {"paymentMethod": "22"}, "2027-02-10", "12000"),
]


@pytest.mark.parametrize(("rule", "option", "day", "amount"), WARNED, ids=[row[0] for row in WARNED])
def test_what_only_a_contract_forbids_is_warned_of(
    smcc: Client, rule: str, option: Json, day: str, amount: str
) -> None:
    strict = smcc.service.merchant("strict", "smcc", strict_options="true")
    with smcc.service.on(day):
        reply = smcc.pay(japanese(amount, **option))
        assert reply.said == AUTHORIZED
        warnings = smcc.warnings(reply.id)
        assert rule in {text[:3] for text in warnings}
        assert all(re.fullmatch(r"J[0-9]{2}: [ -~]+ / .+", text) for text in warnings)
        refusal = strict.pay(japanese(amount, **option))
    if rule == "J19":  # what is ignored harms nobody
        assert refusal.said == AUTHORIZED
    else:
        assert refusal.said == refused("INVALID_DATA")
        assert refusal.fields


def test_options_in_another_currency_are_warned_of(smcc: Client) -> None:
    """J03."""
    document = changed(
        japanese(paymentMethod="61", installments="3"), {"orderInformation.amountDetails.currency": "USD"}
    )
    reply = smcc.pay(document)
    assert reply.said == AUTHORIZED
    assert "J03" in {text[:3] for text in smcc.warnings(reply.id)}


def test_a_merchant_starts_no_installments_of_its_own(smcc: Client) -> None:
    """J21."""
    initiator = {"processingInformation.authorizationOptions": {"initiator": {"type": "merchant"}}}
    reply = smcc.pay(changed(japanese(paymentMethod="61", installments="3"), initiator))
    assert reply.said == AUTHORIZED
    assert "J21" in {text[:3] for text in smcc.warnings(reply.id)}


def test_a_plain_payment_has_nothing_to_warn_of(smcc: Client) -> None:
    assert smcc.warnings(smcc.pay(japanese(paymentMethod="10")).id) == []


# ---- brands


@pytest.mark.parametrize("number", [MASTERCARD, JCB, "378282246310005"])
def test_one_acquirer_takes_visa_only(smcc: Client, number: str) -> None:
    for document in (japanese(number=number), payment(number=number), payment(number=number, currency="JPY")):
        reply = smcc.pay(document)
        assert reply.said == refused("CARD_TYPE_NOT_ACCEPTED")
        assert reply.json["message"] == "Decline - The card type is not accepted by the payment processor."


@pytest.mark.parametrize("number", [MASTERCARD, JCB, "378282246310005", "38000000000006", "4111111111111111"])
def test_the_other_takes_five_brands(jcn: Client, number: str) -> None:
    assert jcn.pay(japanese(number=number, paymentMethod="61", installments="3")).said == AUTHORIZED
    assert jcn.pay(japanese(number="6250947000000014")).said == refused("CARD_TYPE_NOT_ACCEPTED")


@pytest.mark.parametrize(
    ("amount", "said", "code", "category"),
    [
        ("1500", (201, "DECLINED", "CONTACT_PROCESSOR"), "G98", "100"),
        ("2000", (502, "SERVER_ERROR", "SERVER_TIMEOUT"), None, None),
        ("2001", (502, "SERVER_ERROR", "SYSTEM_ERROR"), None, None),
        ("2068", (502, "SERVER_ERROR", "SYSTEM_ERROR"), None, None),
        ("1000", AUTHORIZED, None, "000"),
    ],
)
def test_amounts_of_the_test_table_answer_as_printed(
    jcn: Client, amount: str, said: tuple[int, str, str | None], code: str | None, category: str | None
) -> None:
    """§4.3."""
    reply = jcn.pay(japanese(amount))
    assert reply.said == said
    answered = reply.json.get("processorInformation", {})
    assert (answered.get("responseCode"), answered.get("responseCategoryCode")) == (code, category)


def test_a_test_merchant_is_told_which_rule_its_request_broke(smcc: Client) -> None:
    reply = smcc.pay(japanese(paymentMethod="31", installments="6", firstBillingMonth="13"))
    assert reply.status == 400
    assert "J11 First billing month must be 01-12" in (reply.explanation or "")
