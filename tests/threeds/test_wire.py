"""`/risk/v1` over HTTP: every scenario by its card and by its name, for each brand, and what is wrong with requests."""

import re
from typing import Any

import pytest

from kessai.authentication.issuer import CARDS, SCENARIOS, Status
from tests.acceptance.client import INVALID_TEXT, Service, changed
from tests.threeds.shop import (
    ENROL,
    FRICTIONLESS,
    INFORMATION,
    MC_CHALLENGE,
    RESULTS,
    RETURN,
    RIGHT,
    SETUPS,
    Shop,
    order,
    told,
)

SUCCESS = (201, "AUTHENTICATION_SUCCESSFUL", None)
FAILED = (201, "AUTHENTICATION_FAILED", "CONSUMER_AUTHENTICATION_FAILED")
PENDING = (201, "PENDING_AUTHENTICATION", "CONSUMER_AUTHENTICATION_REQUIRED")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
OF_STATUS = {
    Status.AUTHENTICATED: SUCCESS,
    Status.ATTEMPTED: SUCCESS,
    Status.UNAVAILABLE: SUCCESS,
    Status.FAILED: FAILED,
    Status.REJECTED: FAILED,
    Status.CHALLENGE: PENDING,
}


def test_a_set_up_gives_a_token_for_the_first_visit(shop: Shop) -> None:
    reply = shop.till.post(SETUPS, order())
    assert reply.said == (201, "COMPLETED", None)
    found = told(reply)
    assert list(found) == ["accessToken", "deviceDataCollectionUrl", "referenceId"]
    page = shop.http.post(found["deviceDataCollectionUrl"], data={"JWT": found["accessToken"]})
    assert page.status_code == 200
    assert found["referenceId"] in page.text
    assert shop.step_up(found["accessToken"]).answer.status_code == 404, "it opens nothing"


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, number) for name, versions in CARDS.items() for text in versions.values() for number in text.split()],
)
def test_every_test_card_leads_to_its_scenario(shop: Shop, name: str, number: str) -> None:
    scenario = SCENARIOS[name]
    reply = shop.enrol(order(number))
    found = told(reply)
    assert reply.said == OF_STATUS[scenario.status]
    assert found["veresEnrolled"] == scenario.enrolled
    assert found.get("paresStatus") == (scenario.status.value if scenario.enrolled == "Y" else None)
    assert ("accessToken" in found) == (scenario.status is Status.CHALLENGE)
    version = "2.1.0" if number in CARDS[name]["2.1.0"].split() else "2.2.0"
    assert found["specificationVersion"] == version


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_test_merchant_names_a_scenario_for_any_card(shop: Shop, name: str) -> None:
    reply = shop.enrol(order("4111111111111111"), Kessai_Authentication=name)
    assert reply.said == OF_STATUS[SCENARIOS[name].status]


def test_a_scenario_that_there_is_not_is_told(shop: Shop) -> None:
    reply = shop.enrol(order(), Kessai_Authentication="perfect")
    assert reply.said == (400, "INVALID_REQUEST", "INVALID_DATA")
    assert reply.fields == [("Kessai-Authentication", "INVALID_DATA")]
    assert "challenge-failed" in str(reply.explanation)


BRANDS: list[tuple[str, str, str, dict[str, str]]] = [
    ("4111111111111111", "frictionless", "vbv", {"eci": "05", "eciRaw": "05"}),
    ("4111111111111111", "attempt", "vbv_attempted", {"eci": "06", "eciRaw": "06"}),
    ("4111111111111111", "unavailable", "vbv_failure", {"eci": "07", "eciRaw": "07"}),
    ("5555555555554444", "frictionless", "spa", {"ucafCollectionIndicator": "2", "eciRaw": "02"}),
    ("5555555555554444", "attempt", "spa", {"ucafCollectionIndicator": "1", "eciRaw": "01"}),
    ("5555555555554444", "unavailable", "spa_failure", {"ucafCollectionIndicator": "0", "eciRaw": "00"}),
    ("378282246310005", "frictionless", "aesk", {"eci": "05", "eciRaw": "05"}),
    ("3566111111111113", "frictionless", "js", {"eci": "05", "eciRaw": "05"}),
    ("3566111111111113", "attempt", "js_attempted", {"eci": "06", "eciRaw": "06"}),
    ("3566111111111113", "unavailable", "js_failure", {"eci": "07", "eciRaw": "07"}),
    ("6011111111111117", "frictionless", "dipb", {"eci": "05", "eciRaw": "05"}),
]


@pytest.mark.parametrize(("number", "scenario", "indicator", "said"), BRANDS)
def test_each_network_has_its_own_indicators(
    shop: Shop, number: str, scenario: str, indicator: str, said: dict[str, str]
) -> None:
    found = told(shop.enrol(order(number), Kessai_Authentication=scenario))
    assert found["ecommerceIndicator"] == indicator
    assert said.items() <= found.items()
    has_value = scenario != "unavailable"
    is_mastercard = number.startswith("5")
    assert ("ucafAuthenticationData" in found) == (has_value and is_mastercard)
    assert ("cavv" in found) == (has_value and not is_mastercard)
    assert ("xid" in found) == (has_value and not is_mastercard)
    assert UUID.fullmatch(found["directoryServerTransactionId"])


def test_a_challenge_goes_from_its_enrolment_to_its_result(shop: Shop) -> None:
    reply = shop.enrol(order(clientReferenceInformation__code="order-7"))
    assert reply.json["clientReferenceInformation"] == {"code": "order-7"}
    assert reply.json["orderInformation"] == {"amountDetails": {"currency": "USD"}}
    found = told(reply)
    name = found["authenticationTransactionId"]
    assert re.fullmatch("[A-Za-z0-9]{20}", name)
    assert found["stepUpUrl"].startswith("http://127.0.0.1:")
    assert "ecommerceIndicator" not in found
    waiting = shop.results(name)
    assert waiting.said == PENDING
    assert told(waiting)["paresStatus"] == "C"
    page = shop.answer(shop.step_up(found["accessToken"], md="cart 12"))
    assert (page.goes, page.became) == (RETURN, "authenticated")
    assert page.fields == {"TransactionId": name, "Response": "", "MD": "cart 12"}
    reply = shop.results(name)
    assert reply.said == SUCCESS
    result = told(reply)
    expected = {"authenticationResult": "0", "indicator": "vbv", "eci": "05", "eciRaw": "05", "paresStatus": "Y"}
    assert expected.items() <= result.items()
    assert result["xid"] == result["cavv"]
    assert result == told(shop.results(name)), "it stays so"


def test_a_failed_challenge_is_told(shop: Shop) -> None:
    found = shop.challenged(order("5200000000002490"))
    assert shop.answer(shop.step_up(found["accessToken"])).became == "failed"
    reply = shop.results(found["authenticationTransactionId"])
    assert reply.said == FAILED
    expected = {"authenticationResult": "9", "ucafCollectionIndicator": "0", "eciRaw": "00", "paresStatus": "N"}
    assert expected.items() <= told(reply).items()
    assert "ucafAuthenticationData" not in told(reply)


def test_a_challenge_may_end_without_an_answer_from_the_issuer(shop: Shop) -> None:
    found = shop.challenged(order("4000000000002420"))
    assert shop.answer(shop.step_up(found["accessToken"])).became == "unavailable"
    reply = shop.results(found["authenticationTransactionId"])
    assert reply.said == SUCCESS
    assert told(reply)["authenticationResult"] == "6"


def test_an_ordinary_card_is_challenged_where_its_merchant_wants_that(shop: Shop) -> None:
    wanted = changed(order("4111111111111111"), {f"{INFORMATION}.challengeCode": "04"})
    assert shop.enrol(wanted).said == PENDING
    assert shop.enrol(order("4111111111111111")).said == SUCCESS


def test_a_stored_card_and_a_card_from_a_browser_are_authenticated(shop: Shop) -> None:
    kept = changed(
        order(MC_CHALLENGE),
        {"processingInformation.actionList": ["TOKEN_CREATE"], f"{INFORMATION}": None},
    )
    made = shop.till.pay(kept).json["tokenInformation"]["customer"]["id"]
    by_token = changed(order(), {"paymentInformation": {"customer": {"id": made}}})
    assert shop.enrol(by_token).said == PENDING


WRONG: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"paymentInformation.card.number": None}, [("paymentInformation.card.number", "MISSING_FIELD")]),
    ({"paymentInformation.card.number": "4000000000002502"}, [("paymentInformation.card.number", "INVALID_DATA")]),
    (
        {"orderInformation.amountDetails.totalAmount": ""},
        [("orderInformation.amountDetails.totalAmount", "MISSING_FIELD")],
    ),
    (
        {"orderInformation.amountDetails.currency": "XXX"},
        [("orderInformation.amountDetails.currency", "INVALID_DATA")],
    ),
    ({f"{INFORMATION}.returnUrl": "https://shop.example/a\r\nSet-Cookie: x"}, []),
    *(
        ({f"{INFORMATION}.returnUrl": url}, [(f"{INFORMATION}.returnUrl", "INVALID_DATA")])
        for url in (
            "javascript:alert(1)",
            "//evil.example/",
            "ftp://shop.example/",
            "data:text/html,x",
            "https:///nohost",
            "https://shop.example@evil.example\\@x/",
            "https://user:word@shop.example/",
            "https://shop.example/<script>",
            "https://shop.example/" + "a" * 2_048,
            "https://shop.example:99999/",
        )
    ),
]


@pytest.mark.parametrize(("changes", "fields"), WRONG)
def test_what_is_wrong_is_told_by_its_path(shop: Shop, changes: dict[str, Any], fields: list[tuple[str, str]]) -> None:
    """A-70, A-76, A-79, A-82."""
    reply = shop.enrol(changed(order(), changes))
    assert reply.status == 400
    assert reply.fields == fields


def test_no_result_is_told_of_a_name_that_is_none(shop: Shop, service: Service) -> None:
    """Another merchant's answers as one that nobody has. T-20, A-20."""
    name = shop.passed()
    stranger = Shop(service.merchant("threeds_stranger"))
    said = []
    for asked in (name, "A" * 20):
        reply = stranger.results(asked)
        assert reply.said == (400, "INVALID_REQUEST", "INVALID_DATA")
        said.append((reply.json["message"], reply.fields, reply.explanation))
    assert said[0] == said[1]
    assert said[0][0] == INVALID_TEXT
    for bad in ("", "short", "A" * 27, "' OR 1=1 --", "A" * 19 + "é"):
        assert stranger.results(bad).status == 400
    assert shop.results(name).said == SUCCESS


def test_methods_and_media_are_those_of_the_wire(shop: Shop) -> None:
    for path in (SETUPS, ENROL, RESULTS):
        reply = shop.till.call("GET", path)
        assert (reply.status, reply.headers["allow"]) == (405, "POST")
        assert shop.till.call("POST", path, body=b"[").status == 400
    assert shop.till.call("POST", "/risk/v1/decisions", {}).status == 404


def test_names_and_tokens_cannot_be_guessed(shop: Shop) -> None:
    """Twenty letters of sixty-two are 119 bits; the token's own name has 256, and is signed."""
    names, tokens = set(), set()
    for _ in range(8):
        found = shop.challenged()
        names.add(found["authenticationTransactionId"])
        tokens.add(found["accessToken"])
    assert len(names) == len(tokens) == 8
    token = tokens.pop()
    head, claims, signature = token.split(".")
    for forged in (
        f"{head}.{claims}.{signature[:-4]}AAAA",
        f"{head}.{claims[:-2]}AA.{signature}",
        "eyJhbGciOiJub25lIn0." + claims + ".",
        "x.y.z",
        "",
        "A" * 5_000,
    ):
        assert shop.step_up(forged).answer.status_code == 404
    assert shop.step_up(token).answer.status_code == 200
    assert RIGHT not in token
    assert FRICTIONLESS not in token
