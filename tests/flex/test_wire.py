"""Capture contexts, encrypted cards and transient tokens over real sockets, on both engines."""

import asyncio
import io
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kessai.gateway import Circumstances
from kessai.jobs import claims
from kessai.payment.authorize import Authorize
from kessai.payment.card import Brand, Expiry, Pan, SecurityCode
from kessai.payment.lifecycle import Payment, Refusal, Transaction
from kessai.rotation import Pass
from kessai.storage.flex import first_expiry
from kessai.storage.payments import Answer
from kessai.transients import CARD, CONTEXT, Spent, Transients, _hashed
from kessai.vault import Purpose
from tests import postgres
from tests.acceptance.client import Client, Service
from tests.acceptance.conftest import serving
from tests.acceptance.test_secrets import forms
from tests.flex.shop import CODE, NUMBER, SHOP, Json, Shop, card, part, reason, session, verified, wanted, with_header
from tests.houses import usd

UNKNOWN = "0" * 64


@pytest.fixture
def shop(till: Client) -> Shop:
    return Shop(till)


# ---- capture contexts


def test_a_capture_context_says_what_the_page_needs_and_is_signed_by_a_published_key(shop: Shop) -> None:
    reply = shop.ask(session())
    assert reply.status == 201
    assert reply.headers["content-type"] == "application/jwt"
    context = reply.body.decode()
    key = shop.http.get(f"/flex/v2/public-keys/{part(context, 0)['kid']}").json()
    assert key["kid"] == part(context, 0)["kid"]
    assert "d" not in key
    claims = verified(context, key)
    here = f"http://127.0.0.1:{shop.till.service.port}"
    assert (claims["iss"], claims["exp"] - claims["iat"]) == ("Flex API", 900)
    flx = claims["flx"]
    assert (flx["path"], flx["origin"]) == ("/flex/v2/tokens", here)
    assert set(flx["jwk"]) == {"kty", "e", "use", "n", "kid"}
    (entry,) = claims["ctx"]
    assert entry["type"] == "mf-2.1.0"
    assert entry["data"]["targetOrigins"] == [SHOP]
    assert entry["data"]["allowedCardNetworks"] == ["VISA", "JCB"]
    library = shop.http.get(entry["data"]["clientLibrary"])
    assert library.headers["access-control-allow-origin"] == "*"
    assert b"class Flex" in library.content
    assert re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", entry["data"]["clientLibraryIntegrity"])


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"targetOrigins": None}, "targetOrigins"),
        ({"targetOrigins": []}, "targetOrigins"),
        ({"targetOrigins": ["*"]}, "targetOrigins"),
        ({"targetOrigins": ["http://shop.example"]}, "targetOrigins"),
        ({"targetOrigins": ["https://shop.example/path"]}, "targetOrigins"),
        ({"targetOrigins": ["https://shop.example; script-src *"]}, "targetOrigins"),
        ({"targetOrigins": [SHOP] + [f"https://{number}.example" for number in range(20)]}, "targetOrigins"),
        ({"allowedCardNetworks": ["VISA", "BARTER"]}, "allowedCardNetworks"),
        ({"allowedCardNetworks": "VISA"}, "allowedCardNetworks"),
        ({"allowedPaymentTypes": ["CHECK"]}, "allowedPaymentTypes"),
        ({"clientVersion": "v0.11"}, "clientVersion"),
    ],
)
def test_a_session_that_makes_no_sense_is_refused_by_its_member(shop: Shop, more: Json, field: str) -> None:
    reply = shop.ask(session(**more))
    told = reply.json["responseStatus"]
    assert (reply.status, [each["location"] for each in told["details"]]) == (400, [field])


def test_a_session_without_a_signature_is_refused(shop: Shop) -> None:
    assert shop.http.post("/microform/v2/sessions", json=session()).status_code == 401


def test_who_encrypts_the_card_itself_needs_no_origin(shop: Shop) -> None:
    reply = shop.ask({"fields": {"paymentInformation": {"card": {"number": {}}}}}, "/flex/v2/sessions")
    context = reply.body.decode()
    assert (reply.status, "clientLibrary" in part(context)["ctx"][0]["data"]) == (201, False)
    assert shop.give(card(), context).status_code == 201
    assert shop.http.get(f"/microform/v2/field?context={context}").status_code == 400


def test_a_field_is_shown_inside_of_the_named_origins_and_nowhere_else(shop: Shop) -> None:
    page = shop.http.get(f"/microform/v2/field?context={shop.context(targetOrigins=[SHOP, 'https://b.example:8443'])}")
    policy = page.headers["content-security-policy"]
    assert page.status_code == 200
    assert policy.endswith("frame-ancestors https://shop.example https://b.example:8443")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for file in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert shop.http.get(file).status_code == 200
    for other in ("", "x.y.z", shop.token(), shop.context()[:-4] + "AAAA"):
        assert shop.http.get(f"/microform/v2/field?context={other}").status_code == 400


# ---- transient tokens


def test_a_card_becomes_a_token_that_shows_no_more_than_it_may(shop: Shop) -> None:
    context = shop.context()
    token = shop.give(card(), context).text
    claims = verified(token, part(context)["flx"]["jwk"])
    assert part(token, 0)["kid"] == part(context)["flx"]["jwk"]["kid"]
    assert (claims["iss"], claims["type"], claims["exp"] - claims["iat"]) == ("Flex/08", "mf-2.0.0", 900)
    assert re.fullmatch("[0-9A-F]{64}", claims["jti"])
    assert claims["content"]["paymentInformation"]["card"] == {
        "number": {"maskedValue": "XXXXXXXXXXXX1847", "bin": "492914", "detectedCardTypes": ["001"]},
        "expirationMonth": {"value": "12"},
        "expirationYear": {"value": "2031"},
        "securityCode": {},
    }
    details = shop.till.call("GET", f"/flex/v2/payment-details/{claims['jti']}")
    assert details.json == claims["content"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (card(None), "number"),
        (card("4929145032671848"), "number"),
        (card("5555555555554444"), "number"),
        (card("1" * 30), "number"),
        (card(securityCode="12"), "securityCode"),
        (card(securityCode="12a"), "securityCode"),
        (card(expirationMonth="13"), "expirationMonth"),
        (card(expirationMonth=None), "expirationMonth"),
        (card(expirationYear="31"), "expirationYear"),
        (card(expirationYear="2020"), "expirationYear"),
        (card(type="999"), "type"),
    ],
)
def test_a_card_that_cannot_be_is_refused_by_its_member(shop: Shop, data: Json, field: str) -> None:
    status, _, fields = reason(shop.give(data))
    assert (status, fields) == (400, [f"paymentInformation.card.{field}"])


def test_what_does_not_open_is_refused_in_one_way(shop: Shop) -> None:
    context = shop.context()
    payload = {"data": card(), "context": context, "index": 0}
    good = shop.seal(payload, context)
    bodies = [
        *(with_header(good, alg=other) for other in ("RSA1_5", "dir", "none", 7)),
        with_header(good, crit=["exp"], exp=1),
        shop.seal(payload, context, enc="A128GCM"),
        shop.seal(payload, context, zip="DEF"),
        shop.seal(b"no JSON", context),
        shop.seal([payload], context),
        good[:-6] + "AAAAAA",
        good.replace(".", "", 1),
        "",
        "{}",
        context,
    ]
    assert {reason(shop.send(body))[:2] for body in bodies} == {(400, "DECRYPTION_ERROR")}
    assert shop.send(shop.seal(payload, context, alg="RSA-OAEP")).status_code == 201
    assert shop.send(good, **{"content-type": "application/json"}).status_code == 415


def test_a_card_comes_with_a_context_of_ours_that_is_not_over(shop: Shop) -> None:
    context, service = shop.context(), shop.till.service
    head, claims, signature = context.split(".")
    others = [head + "." + claims + "." + signature[:-4] + "AAAA", shop.token(), "x.y.z", "none"]
    for other in others:
        body = shop.seal({"data": card(), "context": other}, context)
        assert reason(shop.send(body))[:2] == (400, "CAPTURE_CONTEXT_INVALID")
    service.clock.moved = timedelta(minutes=16)
    try:
        assert reason(shop.give(card(), context))[:2] == (400, "CAPTURE_CONTEXT_INVALID")
    finally:
        service.clock.moved = timedelta()
    assert shop.give(card(), context).status_code == 201


def test_a_page_of_another_origin_cannot_send_a_card(shop: Shop) -> None:
    context = shop.context()
    body = shop.seal({"data": card(), "context": context}, context)
    assert shop.send(body, origin="https://evil.example").status_code == 403
    assert shop.send(body, origin=SHOP).status_code == 403
    assert shop.send(body, origin=f"http://127.0.0.1:{shop.till.service.port}").status_code == 201


# ---- spending


@pytest.mark.parametrize("name", ["transientTokenJwt", "jti"])
def test_a_transient_token_becomes_lasting_tokens_once(shop: Shop, name: str) -> None:
    token = shop.token()
    named = token if name == "transientTokenJwt" else part(token)["jti"]
    made = shop.tokenize(named, name)
    assert [(each["resource"], each["httpStatus"] in (200, 201)) for each in made.json["responses"]] == [
        ("customer", True),
        ("instrumentIdentifier", True),
        ("paymentInstrument", True),
    ]
    ids = {each["resource"]: each["id"] for each in made.json["responses"]}
    path = f"/tms/v2/customers/{ids['customer']}/payment-instruments/{ids['paymentInstrument']}"
    stored = shop.till.call("GET", path).json
    assert stored["card"] == {"expirationMonth": "12", "expirationYear": "2031", "type": "001"} | stored["card"]
    number = shop.till.call("GET", f"/tms/v1/instrumentidentifiers/{ids['instrumentIdentifier']}").json
    assert number["card"]["number"] == "492914XXXXXX1847"
    again = shop.tokenize(named, name)
    assert (again.status, again.json["errors"][0]["details"][0]["name"]) == (400, f"tokenInformation.{name}")


def test_a_token_of_another_merchant_is_as_unknown_as_one_that_never_was(service: Service, shop: Shop) -> None:
    """A-23."""
    other = Shop(service.merchant("flex_other"))
    token = shop.token()
    told = [other.tokenize(token), other.tokenize(part(token)["jti"], "jti"), other.tokenize(UNKNOWN, "jti")]
    assert {reply.status for reply in told} == {400}
    assert told[1].body == told[2].body
    assert other.till.call("GET", f"/flex/v2/payment-details/{part(token)['jti']}").status == 404
    assert shop.tokenize(token).status == 200


def test_a_changed_or_expired_token_is_refused_and_what_has_expired_is_removed(shop: Shop) -> None:
    service, token = shop.till.service, shop.token()
    house = service.house
    head, _, signature = token.split(".")
    forged = ".".join((head, shop.token().split(".")[1], signature))
    assert shop.tokenize(forged).status == 400
    service.clock.moved = timedelta(minutes=16)
    try:
        assert shop.tokenize(token).status == 400
        assert shop.tokenize(part(token)["jti"], "jti").status == 400
        service.run(claims.forget(house.gateway, house.accounts.get(shop.till.merchant).merchant, b""))
        assert service.run(first_expiry(house.database, shop.till.merchant)) is None
    finally:
        service.clock.moved = timedelta()
    assert shop.tokenize(token).status == 400


def test_of_many_who_spend_a_token_at_once_one_does(shop: Shop) -> None:
    token = shop.token()
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: shop.tokenize(token).status, range(16)))
    assert sorted(told) == [200] + [400] * 15


def test_the_same_request_again_is_told_the_same_even_when_the_token_has_gone(shop: Shop) -> None:
    service, token = shop.till.service, shop.token()
    first = shop.tokenize(token, idempotency_key="flex-1")
    assert shop.tokenize(token, idempotency_key="flex-1").body == first.body
    service.clock.moved = timedelta(minutes=16)
    try:
        assert shop.tokenize(token, idempotency_key="flex-1").body == first.body
    finally:
        service.clock.moved = timedelta()


def test_what_the_request_says_goes_before_the_token(shop: Shop) -> None:
    document = wanted(shop.token())
    document["tokenInformation"]["paymentInstrument"] = {"card": {"expirationMonth": "03", "expirationYear": "2033"}}
    ids = {each["resource"]: each["id"] for each in shop.till.post("/tms/v2/tokenize", document).json["responses"]}
    path = f"/tms/v2/customers/{ids['customer']}/payment-instruments/{ids['paymentInstrument']}"
    assert shop.till.call("GET", path).json["card"]["expirationYear"] == "2033"


def test_of_two_payments_with_one_token_one_is_made(shop: Shop) -> None:
    """The claim of a token is of the same commit as the intent, so the loser never reaches the acquirer."""
    service, merchant_id = shop.till.service, shop.till.merchant
    house, token = service.house, shop.token()
    merchant = house.accounts.get(merchant_id).merchant

    def encode(_payment: Payment, transaction: Transaction) -> Answer:
        return Answer(201, str(transaction.status).encode())

    async def pay() -> Answer | Refusal:
        spent = await house.transients.spend(merchant_id, token)
        assert isinstance(spent, Spent)
        assert spent.card.pan == Pan(NUMBER)
        assert spent.card.expiry == Expiry(2031, 12)
        assert (spent.card.security_code, spent.card.brand) == (SecurityCode(CODE), Brand.VISA)
        command = Authorize(amount=usd(100), card=spent.card)
        return await house.gateway.perform(merchant, command, Circumstances(claims=(spent.claim,)), encode)

    async def many() -> list[Answer | Refusal]:
        return await asyncio.gather(*(pay() for _ in range(8)))

    told = service.run(many())
    assert sum(isinstance(each, Answer) for each in told) == 1
    assert [each for each in told if not isinstance(each, Answer)] == [Refusal.TRANSIENT_SPENT] * 7
    assert shop.tokenize(token).status == 400
    service.assert_books()


# ---- what is kept


def test_neither_number_nor_code_nor_the_tokens_name_is_left_anywhere(shop: Shop) -> None:
    service, token = shop.till.service, shop.token()
    name = part(token)["jti"]
    shop.tokenize(token)
    shop.give(card(expirationMonth="77"))
    places = {file.name: file.read_bytes() for file in service.house.folder.rglob("*") if file.is_file()}
    if service.database:
        places |= asyncio.run(postgres.copies(service.database))
        assert "transients" in places
    places["the log"] = service.logs.getvalue().encode()
    wanted = [*forms(NUMBER), ("name", name.encode()), ("name in bytes", bytes.fromhex(name))]
    assert [(place, form) for place, data in places.items() for form, text in wanted if text in data] == []
    code = re.compile(rb"(?<![0-9A-Fa-f-])" + CODE.encode() + rb"(?![0-9A-Fa-f-])")
    assert [place for place, data in places.items() if code.search(data)] == []


def test_all_keys_of_the_vault_do_not_open_a_code_without_the_tokens_name(shop: Shop) -> None:
    service, merchant_id = shop.till.service, shop.till.merchant
    name = part(shop.token())["jti"]
    kept = service.run(
        service.house.database.read("find_transient", {"merchant_id": merchant_id, "key": _hashed(name)})
    )
    row, _, sealed = kept[0][:3]
    opened = service.house.vault.open_secret(merchant_id, str(row), "transient_code", bytes(sealed))
    assert CODE.encode() not in opened
    spent = service.run(service.house.transients.spend(merchant_id, name))
    assert isinstance(spent, Spent)
    assert spent.card.security_code == SecurityCode(CODE)


def test_another_process_knows_the_keys_and_the_cards_of_this_one(shop: Shop) -> None:
    house, merchant_id = shop.till.service.house, shop.till.merchant
    context, token = shop.context(), shop.token()
    other = Transients(
        database=house.database,
        vault=house.vault,
        new_id=house.gateway.new_id,
        clock=house.clock,
        sealed=house.accounts.keys.sealed,
    )

    async def seen() -> tuple[Spent | Refusal, str | None, str | None]:
        spent = await other.spend(merchant_id, token)
        return spent, (await other.keys.current(CONTEXT)).kid, (await other.keys.current(CARD)).kid

    spent, signs, opens = shop.till.service.run(seen())
    assert isinstance(spent, Spent)
    assert (signs, opens) == (part(context, 0)["kid"], part(token, 0)["kid"])


def test_a_token_outlives_the_keys_that_sealed_it(service: Service) -> None:
    """T-23: a waiting card is sealed again like every other."""
    house, shop = service.house, Shop(service.merchant("flex_turning"))
    token, merchant_id = shop.token(), shop.till.merchant
    before = house.vault.sealing_key(merchant_id, Purpose.CARD)

    async def turn() -> int:
        rotation = house.rotation()
        step, done = await rotation.begin([merchant_id]), 0
        at: dict[str, Any] | None = None
        while step.merchants:
            step = await rotation.step(step.merchants, Pass(**at) if at else None)
            at, done = step.at, done + step.resealed
            await house.keep_up()
        return done

    assert service.run(turn()) >= 2
    assert house.vault.sealing_key(merchant_id, Purpose.CARD) != before
    spent = service.run(house.transients.spend(merchant_id, token))
    assert isinstance(spent, Spent)
    assert (spent.card.pan, spent.card.security_code) == (Pan(NUMBER), SecurityCode(CODE))


def test_whoever_guesses_is_slowed_down(tmp_path: Path) -> None:
    """A flood of what does not open costs one address its turn, as wrong signatures do."""
    with serving(tmp_path, "", io.StringIO(), "failures_per_s = 1\nfailures_burst = 20\n") as small:
        told = [small.http.post("/flex/v2/tokens", content="x.y.z.u.v").status_code for _ in range(60)]
    assert told[:20] == [400] * 20
    assert 429 in told[20:]
