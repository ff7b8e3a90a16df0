"""Network tokens over a real socket: enrolment, tokenized cards, payment credentials, pictures, cards that change."""

import base64
import itertools
import json
import time
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from joserfc import jwe
from joserfc.jwk import RSAKey

from kessai import ids
from kessai.dialects.cybersource.token_network import ASSETS
from kessai.payment.card import Pan, luhn
from kessai.story import of_payment
from kessai.tokenizer import NetworkCard
from kessai.tokens.network import Option
from kessai.tokens.objects import InstrumentIdentifier
from kessai.tokens.provider import REFUSED
from kessai.tokens.updates import NOTICES, Notice
from tests.acceptance.client import BILL_TO, Client, Json, Reply, Service
from tests.acceptance.test_tokens import error, made

NUMBERS = "/tms/v1/instrumentidentifiers"
CARDS = "/tms/v2/tokenized-cards"
LONE = "/tms/v1/paymentinstruments"
ENROLLABLE = "enrollable card"

_cards = itertools.count(1)
T = TypeVar("T")


def fresh(prefix: str = "4622943123", length: int = 16) -> str:
    """A card number that no test has used before."""
    body = f"{prefix}{next(_cards):0{length - len(prefix) - 1}d}"
    return next(f"{body}{check}" for check in range(10) if luhn(f"{body}{check}"))


def until(ask: Callable[[], T | None], patience_s: float = 20.0) -> T:
    """What is there in the end; how long it takes decides nothing."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        found = ask()
        if found is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


@pytest.fixture
def shop(service: Service) -> Client:
    return service.merchant("network_shop", "vpc")


def number_of(shop: Client, pan: str, status: int = 201, **more: object) -> Json:
    return made(shop.post(NUMBERS, {"card": {"number": pan}} | more), status)


def provisioned(shop: Client, number: str) -> Json:
    """What an instrument identifier says of its network token, once its network has decided."""
    return until(lambda: made(shop.call("GET", f"{NUMBERS}/{number}"), 200).get("tokenizedCard"))


def tokenized(shop: Client, pan: str, status: int = 201) -> Json:
    card = {"number": pan, "expirationMonth": "12", "expirationYear": "2031", "type": "visa"}
    sent = {"createPanInstrumentIdentifier": True, "source": "ONFILE", "consumerId": "c-1", "card": card}
    return made(shop.post(CARDS, sent | {"accountReferenceId": "a-1", "billTo": BILL_TO}), status)


# ---- enrolment


def test_a_card_is_enrolled_behind_the_answer(shop: Client) -> None:
    pan = fresh()
    number = number_of(shop, pan)
    path = f"{NUMBERS}/{number['id']}"
    reply = shop.post(f"{path}/enrollment", {"type": ENROLLABLE, "card": {"number": pan, "securityCode": "123"}})
    assert (reply.status, reply.body) == (202, b"")
    card = provisioned(shop, number["id"])
    assert card["state"] == "ACTIVE"
    assert card["type"] == "visa"
    assert card["number"].startswith("489537XXXXXX")
    assert card["card"] == {"suffix": pan[-4:]}
    assert len(card["paymentAccountReference"]) == 29
    assert len(card["requestorId"]) == 11
    assert card["expirationYear"] > "2026"
    shown = shop.call("GET", path)
    assert shown.json["type"] == ENROLLABLE
    assert shown.json["card"] == number["card"]
    again = shop.post(f"{path}/enrollment", {"type": ENROLLABLE})
    assert (again.status, again.body) == (204, b"")
    assert shop.call("GET", path).headers["etag"] == shown.headers["etag"]


def test_a_new_number_may_be_enrolled_with_its_creation(shop: Client) -> None:
    pan = fresh()
    number = number_of(shop, pan, type=ENROLLABLE)
    assert number["type"] == ENROLLABLE
    assert provisioned(shop, number["id"])["state"] == "ACTIVE"
    assert number_of(shop, pan, 200, type=ENROLLABLE)["id"] == number["id"]
    changed = shop.call("PATCH", f"{NUMBERS}/{number['id']}", {"type": "x"})
    assert made(changed, 200)["type"] == ENROLLABLE
    assert changed.json["tokenizedCard"]["state"] == "ACTIVE"


@pytest.mark.parametrize(("prefix", "reason"), [(prefix, reason.value) for prefix, reason in REFUSED.items()])
def test_the_published_numbers_are_refused_for_the_published_reasons(shop: Client, prefix: str, reason: str) -> None:
    number = number_of(shop, fresh(prefix), type=ENROLLABLE)
    card = provisioned(shop, number["id"])
    assert (card["state"], card["reason"]) == ("UNPROVISIONED", reason)
    assert not card.keys() & {"number", "expirationMonth", "enrollmentId", "type"}
    direct = tokenized(shop, fresh(prefix))
    assert (direct["state"], direct["reason"]) == ("UNPROVISIONED", reason)
    assert shop.post(f"{CARDS}/{direct['id']}/delete", {}).status == 409


def test_a_card_that_was_refused_may_be_enrolled_again(shop: Client) -> None:
    number = number_of(shop, fresh("4010057022"), type=ENROLLABLE)["id"]
    first = provisioned(shop, number)
    assert first["state"] == "UNPROVISIONED"
    assert shop.post(f"{NUMBERS}/{number}/enrollment", {}).status == 202
    assert provisioned(shop, number)["state"] == "UNPROVISIONED"


def test_brands_without_a_provider_are_not_eligible(shop: Client) -> None:
    card = tokenized(shop, fresh("3530111333"))
    assert (card["state"], card["reason"]) == ("UNPROVISIONED", "CARD_NOT_ELIGIBLE")
    assert tokenized(shop, fresh("5200828282"))["type"] == "mastercard"
    assert tokenized(shop, fresh("378282246", 15))["type"] == "americanexpress"


def test_what_an_enrolment_cannot_be(shop: Client) -> None:
    pan = fresh()
    path = f"{NUMBERS}/{number_of(shop, pan)['id']}/enrollment"
    assert error(shop.post(path, {"type": "enrollable token"})) == (400, "unsupportedFields")
    assert error(shop.post(path, {"type": "nonsense"})) == (400, "invalidFields")
    assert error(shop.post(path, {"card": {"number": fresh()}})) == (400, "unsupportedPaymentMethodModification")
    assert error(shop.post(path, {"card": {"expirationMonth": "13", "expirationYear": "2031"}}))[0] == 400
    assert error(shop.post(f"{NUMBERS}/7010000000000000000/enrollment", {})) == (404, "notFound")
    account = made(shop.post(NUMBERS, {"bankAccount": {"number": fresh()[:9], "routingNumber": "071923284"}}))["id"]
    assert error(shop.post(f"{NUMBERS}/{account}/enrollment", {})) == (400, "invalidFields")
    assert shop.post(path, {"card": {"number": pan}}).status == 202


# ---- tokenized cards


def test_a_tokenized_card_lives_and_ends(shop: Client) -> None:
    pan = fresh()
    card = tokenized(shop, pan)
    path = f"{CARDS}/{card['id']}"
    assert card["_links"]["self"]["href"] == path
    assert (card["object"], card["state"], card["source"]) == ("tokenizedCard", "ACTIVE", "ONFILE")
    assert (card["consumerId"], card["accountReferenceId"]) == ("c-1", "a-1")
    about = {"suffix": pan[-4:], "type": "001", "expirationMonth": "12", "expirationYear": "2031"}
    assert card["card"] == about
    assert card["metadata"]["creator"] == "network_shop"
    assert "cryptogram" not in card
    read = shop.call("GET", path)
    assert read.json == card
    number = card["instrumentIdentifier"]["id"]
    assert number_of(shop, pan, 200)["id"] == number
    assert tokenized(shop, pan, 200)["id"] == card["id"]
    simulations = f"{path}/issuer-life-cycle-event-simulations"
    for state in ("SUSPENDED", "ACTIVE"):
        assert shop.post(simulations, {"state": state}).status == 204
        assert shop.call("GET", path).json["state"] == state
        assert provisioned(shop, number)["state"] == state
    assert shop.call("GET", path).headers["etag"] != read.headers["etag"]
    told = {"last4": "4321", "expirationMonth": "3", "expirationYear": "2035"}
    assert shop.post(simulations, {"card": told}).status == 204
    after = {"suffix": "4321", "type": "001", "expirationMonth": "03", "expirationYear": "2035"}
    assert shop.call("GET", path).json["card"] == after
    assert error(shop.post(simulations, {"state": "EXPIRED"})) == (400, "invalidFields")
    assert error(shop.post(simulations, {})) == (400, "missingFields")
    assert error(shop.post(f"{path}/delete", {"reason": {"code": "BORED"}})) == (400, "invalidFields")
    assert shop.post(f"{path}/delete", {"reason": {"code": "FRAUD"}}).status == 204
    last = shop.call("GET", path).json
    assert last["state"] == "DELETED"
    assert not last.keys() & {"number", "expirationMonth"}
    for action in (f"{path}/delete", simulations):
        assert error(shop.post(action, {"state": "ACTIVE"})) == (409, "conflict")
    another = tokenized(shop, pan)
    assert another["id"] != card["id"]
    assert another["paymentAccountReference"] == card["paymentAccountReference"]
    assert error(shop.call("GET", path)) == (410, "notAvailable")


def test_a_network_token_goes_with_its_card(shop: Client) -> None:
    card = tokenized(shop, fresh())
    number = card["instrumentIdentifier"]["id"]
    assert made(shop.call("GET", f"{NUMBERS}/{number}/paymentinstruments"), 200)["total"] == 0
    instrument = made(shop.post(LONE, {"instrumentIdentifier": {"id": number}}))["id"]
    assert error(shop.call("DELETE", f"{NUMBERS}/{number}")) == (409, "instrumentIdentifierDeletionError")
    assert shop.call("DELETE", f"{LONE}/{instrument}").status == 204
    assert error(shop.call("GET", f"{CARDS}/{card['id']}")) == (410, "notAvailable")
    other = tokenized(shop, fresh())
    assert shop.call("DELETE", f"{NUMBERS}/{other['instrumentIdentifier']['id']}").status == 204
    assert error(shop.call("GET", f"{CARDS}/{other['id']}")) == (410, "notAvailable")


def test_what_a_tokenized_card_cannot_be(shop: Client) -> None:
    assert error(shop.post(CARDS, {})) == (400, "missingFields")
    assert error(shop.post(CARDS, {"source": "TOKEN", "card": {"number": fresh()}})) == (400, "unsupportedFields")
    assert error(shop.post(CARDS, {"source": "x", "card": {"number": fresh()}})) == (400, "invalidFields")
    assert error(shop.post(CARDS, {"card": {"number": "4622943123000000"}})) == (400, "invalidFields")
    unknown = shop.call("GET", f"{CARDS}/{'0' * 32}", None, {"profile-id": "0" * 36})
    assert error(unknown) == (424, "notFound")


def test_one_merchants_network_tokens_are_nobody_elses(service: Service, shop: Client) -> None:
    other = service.merchant("network_other", "vpc")
    card = tokenized(shop, fresh())
    number = card["instrumentIdentifier"]["id"]
    missing = "F" * 32
    asked: list[tuple[str, str, Json | None]] = [
        ("GET", CARDS + "/{}", None),
        ("POST", CARDS + "/{}/delete", {}),
        ("POST", CARDS + "/{}/issuer-life-cycle-event-simulations", {"state": "DELETED"}),
        ("POST", "/tms/v2/tokens/{}/payment-credentials", {}),
        ("POST", "/tms/v3/tokens/{}/payment-credentials", {}),
        ("POST", NUMBERS + "/{}/enrollment", {}),
        ("GET", "/tms/v2/tokens/{}/vts/assets/card-icon", None),
    ]
    for method, path, body in asked:
        for there in (card["id"], number):
            crossed = other.call(method, path.format(there), body)
            unknown = other.call(method, path.format(missing), body)
            assert (crossed.status, crossed.body) == (unknown.status, unknown.body) == (404, crossed.body)
    assert shop.call("GET", f"{CARDS}/{card['id']}").json == card


# ---- payment credentials


def with_key(service: Service, name: str) -> tuple[Client, RSAKey]:
    """A merchant, and the key that its answers come to."""
    shop = service.merchant(name, "vpc")
    accounts, now = service.house.accounts, service.house.clock()
    made_now = service.run(accounts.messages.key_store(name, "secret", now))
    service.run(accounts.add_answer_key(name, now, made_now.certificate, f"answers-{next(_cards)}"))
    key, _, _ = pkcs12.load_key_and_certificates(made_now.content, b"secret")
    assert isinstance(key, rsa.RSAPrivateKey)
    return shop, RSAKey.import_key(key)


def opened(reply: Reply, key: RSAKey) -> Json:
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"].startswith("application/jose")
    registry = jwe.JWERegistry(algorithms=["RSA-OAEP-256", "A256GCM"], strict_check_header=False)
    plain = jwe.decrypt_compact(reply.body.decode(), key, registry=registry).plaintext
    assert plain is not None
    document = json.loads(plain)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_payment_credentials_are_for_the_merchants_key_alone(service: Service, version: str) -> None:
    shop, key = with_key(service, f"network_keys_{version}")
    pan = fresh()
    card = tokenized(shop, pan)
    number = card["instrumentIdentifier"]["id"]
    customer = made(shop.post("/tms/v2/customers", {}))["id"]
    owned = f"/tms/v2/customers/{customer}/payment-instruments"
    instrument = made(shop.post(owned, {"instrumentIdentifier": {"id": number}}))["id"]
    seen = set()
    for token in (number, instrument, customer, card["id"]):
        reply = shop.post(f"/tms/{version}/tokens/{token}/payment-credentials", {})
        told = opened(reply, key)
        paying = told["tokenizedCard"]
        assert luhn(paying["number"])
        assert Pan(paying["number"]).masked() == card["number"]
        assert paying["number"].encode() not in reply.body
        assert (told["id"], told["object"]) == (number, "instrumentIdentifier")
        assert told["card"]["number"] == Pan(pan).masked()
        assert told["issuer"]["paymentAccountReference"] == card["paymentAccountReference"]
        assert len(base64.b64decode(paying["cryptogram"])) == 20
        seen.add(paying["cryptogram"])
    assert len(seen) == 4
    path = f"/tms/{version}/tokens/{number}/payment-credentials"
    only = opened(shop.post(path, {"paymentCredentialType": "CRYPTOGRAM"}), key)["tokenizedCard"]
    assert "number" not in only
    assert "cryptogram" in only
    assert shop.call("POST", path).status == 200
    assert error(shop.post(path, {"paymentCredentialType": "SECURITY_CODE"})) == (400, "invalidFields")
    assert error(shop.post(path, {"transactionType": "POS"})) == (400, "invalidFields")
    first, again = (shop.post(path, {}, Idempotency_Key="once") for _ in range(2))
    assert again.body == first.body
    simulations = f"{CARDS}/{card['id']}/issuer-life-cycle-event-simulations"
    assert shop.post(simulations, {"state": "SUSPENDED"}).status == 204
    assert error(shop.post(path, {"paymentCredentialType": "CRYPTOGRAM"})) == (409, "conflict")
    if version == "v2":
        assert error(shop.post(path, {})) == (409, "conflict")
        return
    bare = opened(shop.post(path, {}), key)
    assert (bare["id"], bare["card"]) == (number, {"number": pan})
    expiring = {"card": {"expirationMonth": "12", "expirationYear": "2031"}, "instrumentIdentifier": {"id": number}}
    lone = made(shop.post(LONE, expiring))["id"]
    dated = opened(shop.post(f"/tms/v3/tokens/{lone}/payment-credentials", {}), key)
    assert dated["card"] == {"number": pan, "expirationMonth": "12", "expirationYear": "2031"}


def test_american_express_gives_a_code_in_the_place_of_a_cryptogram(service: Service) -> None:
    shop, key = with_key(service, "network_amex")
    card = tokenized(shop, fresh("378282246", 15))
    paying = opened(shop.post(f"/tms/v2/tokens/{card['id']}/payment-credentials", {}), key)["tokenizedCard"]
    assert len(paying["number"]) == 15
    assert len(paying["securityCode"]) == 4
    assert "cryptogram" not in paying


def test_without_a_key_there_are_no_payment_credentials(shop: Client) -> None:
    card = tokenized(shop, fresh())
    assert error(shop.post(f"/tms/v2/tokens/{card['id']}/payment-credentials", {})) == (403, "forbidden")
    assert error(shop.post(f"/tms/v2/tokens/{'0' * 32}/payment-credentials", {})) == (404, "notFound")


# ---- pictures


def test_pictures_are_made_of_every_kind(shop: Client) -> None:
    number = tokenized(shop, fresh())["instrumentIdentifier"]["id"]
    place = f"/tms/v2/tokens/{number}"
    for kind, (width, height) in ASSETS.items():
        asset = made(shop.call("GET", f"{place}/vts/assets/{kind}"), 200)
        [content] = asset["content"]
        assert (asset["type"], asset["provider"], content["type"]) == (kind, "vts", "image/png")
        picture = base64.b64decode(content["data"])
        assert picture[:8] == b"\x89PNG\r\n\x1a\n"
        assert picture[16:24] == width.to_bytes(4) + height.to_bytes(4)
        length = int.from_bytes(picture[33:37])
        assert len(zlib.decompress(picture[41 : 41 + length])) == (3 * width + 1) * height
    for path in ("mdes/assets/card-icon", "vts/assets/poster", "nobody/assets/card-icon"):
        assert error(shop.call("GET", f"{place}/{path}")) == (404, "notFound")
    bare = number_of(shop, fresh())["id"]
    assert error(shop.call("GET", f"/tms/v2/tokens/{bare}/vts/assets/card-icon")) == (404, "notFound")


# ---- paying


def approved(reply: Reply) -> Json:
    assert reply.status == 201, reply.body
    return reply.json


def test_what_pays(service: Service, shop: Client) -> None:
    """An active network token does, unless the merchant says otherwise; in every other case the card's number."""
    pan = fresh()
    card = tokenized(shop, pan)
    make = service.house.tokenizer

    def pays(option: Option | None, month: str = "2027-01", number: str = "") -> NetworkCard | None:
        async def ask() -> NetworkCard | None:
            named = number or card["instrumentIdentifier"]["id"]
            found = await make.tokens.instrument_identifier("network_shop", named)
            assert isinstance(found, InstrumentIdentifier)
            return await make.pays_with("network_shop", found, option, month)

        return service.run(ask())

    first, second = pays(None), pays(Option.PREFER)
    assert first is not None
    assert second is not None
    assert first.number == second.number != Pan(pan)
    assert first.cryptogram != second.cryptogram
    assert first.account_reference == card["paymentAccountReference"]
    assert pays(Option.IGNORE) is None
    assert pays(None, month="2099-01") is None
    assert pays(None, number=number_of(shop, fresh())["id"]) is None
    simulations = f"{CARDS}/{card['id']}/issuer-life-cycle-event-simulations"
    for state, is_paying in (("SUSPENDED", False), ("ACTIVE", True), ("DELETED", False)):
        assert shop.post(simulations, {"state": state}).status == 204
        assert (pays(None) is not None) is is_paying


# ---- the account updater


class Updated:
    """A merchant whose clock moves, and its cards."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.name = f"network_update_{next(_cards)}"
        self.shop = service.merchant(self.name, "vpc")
        self.month = service.house.clock() + timedelta(days=62)

    def card(self, pan: str) -> tuple[str, str]:
        """A payment instrument that expires in two months or so, and its number's token."""
        number = number_of(self.shop, pan, type=ENROLLABLE)["id"]
        provisioned(self.shop, number)
        card = {"expirationMonth": f"{self.month:%m}", "expirationYear": f"{self.month:%Y}"}
        made_now = self.shop.post(LONE, {"card": card, "instrumentIdentifier": {"id": number}})
        return made(made_now)["id"], number

    def wait(self) -> None:
        self.shop.post("/sandbox/v1/clock", {"to": f"{self.month:%Y-%m-%dT00:00:00Z}"})

    def read(self, path: str) -> Json:
        return made(self.shop.call("GET", path), 200)


def test_cards_that_expire_are_renewed_replaced_or_closed(service: Service) -> None:
    at = Updated(service)
    pans = {prefix: fresh(prefix) for prefix in (*NOTICES, "4622943123")}
    cards = {prefix: at.card(pan) for prefix, pan in pans.items()}
    before = {prefix: at.read(f"{NUMBERS}/{number}") for prefix, (_, number) in cards.items()}
    at.wait()

    def shown(prefix: str) -> tuple[Json, Json]:
        instrument, number = cards[prefix]
        return at.read(f"{LONE}/{instrument}"), at.read(f"{NUMBERS}/{number}")

    later = str(at.month.year + 4)
    by_notice = {notice: prefix for prefix, notice in NOTICES.items()}
    closed = by_notice[Notice.CLOSED]
    until(lambda: True if shown(closed)[0]["state"] == "CLOSED" else None)
    until(lambda: True if shown(by_notice[Notice.REPLACED])[0]["card"]["expirationYear"] == later else None)
    instrument, number = until(
        lambda: found if (found := shown(by_notice[Notice.RENEWED]))[0]["card"]["expirationYear"] == later else None
    )
    assert instrument["card"]["expirationMonth"] == f"{at.month:%m}"
    assert number["card"] == before[by_notice[Notice.RENEWED]]["card"]
    assert number["tokenizedCard"]["state"] == "ACTIVE"
    assert number["tokenizedCard"]["card"]["expirationYear"] == later

    prefix = by_notice[Notice.REPLACED]
    instrument, number = shown(prefix)
    assert number["card"]["number"] != before[prefix]["card"]["number"]
    assert number["tokenizedCard"]["number"] == before[prefix]["tokenizedCard"]["number"]
    assert number["tokenizedCard"]["card"]["suffix"] == number["card"]["number"][-4:]
    assert number_of(at.shop, pans[prefix])["id"] != number["id"]  # the old number stands for nothing any more

    instrument, number = shown(closed)
    assert (instrument["state"], number["state"], number["tokenizedCard"]["state"]) == ("CLOSED", "CLOSED", "DELETED")
    assert error(at.shop.post(f"{NUMBERS}/{number['id']}/enrollment", {})) == (409, "conflict")

    contact = by_notice[Notice.CONTACT]
    until(lambda: True if "kessaiInformation" in shown(contact)[1] else None)
    for prefix in (contact, "4622943123"):
        instrument, number = shown(prefix)
        assert instrument["card"]["expirationYear"] == str(at.month.year)
        assert {**number, "kessaiInformation": None} == {**before[prefix], "kessaiInformation": None}

    for notice, prefix in by_notice.items():
        told = shown(prefix)[1]["kessaiInformation"]["updates"]
        assert told == [{"month": f"{at.month:%Y-%m}", "notice": notice.name}]
    assert "kessaiInformation" not in shown("4622943123")[1]
    path = f"{NUMBERS}/{cards[by_notice[Notice.RENEWED]][1]}"
    kept = at.shop.call("PATCH", path, {"kessaiInformation": {"updates": []}}).json
    assert kept["kessaiInformation"] == shown(by_notice[Notice.RENEWED])[1]["kessaiInformation"]
    paid = approved(
        at.shop.pay(
            {
                "orderInformation": {
                    "amountDetails": {"totalAmount": "12.00", "currency": "USD"},
                    "billTo": BILL_TO,
                },
                "paymentInformation": {"paymentInstrument": {"id": cards[by_notice[Notice.REPLACED]][0]}},
            }
        )
    )
    account = service.house.accounts.get(at.shop.merchant)

    async def story() -> dict[str, object]:
        found = await service.house.gateway.payments.load(at.shop.merchant, ids.read(paid["id"]) or 0)
        assert found is not None
        return await of_payment(service.house, account, found.payment)

    assert service.run(story())["card_updates"] == [f"{at.month:%Y-%m} replaced"]


# ---- paying


def test_a_payment_prefers_the_active_network_token_and_falls_back_to_the_card(shop: Client) -> None:
    pan = fresh()
    card = tokenized(shop, pan)
    number = card["instrumentIdentifier"]["id"]
    ordered = {"orderInformation": {"amountDetails": {"totalAmount": "10.00", "currency": "USD"}, "billTo": BILL_TO}}
    paying = {
        "paymentInformation": {
            "instrumentIdentifier": {"id": number},
            "card": {"expirationMonth": "11", "expirationYear": "2030"},
        }
    }

    def paid(**more: object) -> Json:
        return approved(shop.pay(ordered | paying | more))

    by_network = paid()
    assert by_network["processingInformation"] == {"paymentSolution": "014"}
    details = shop.details(by_network["id"])
    assert details["processingInformation"]["paymentSolution"] == "014"
    assert details["processorInformation"]["paymentAccountReferenceNumber"] == card["paymentAccountReference"]
    assert details["paymentInformation"]["tokenizedCard"] == by_network["paymentInformation"]["tokenizedCard"]
    shown = by_network["paymentInformation"]
    assert shown["card"] == {"suffix": pan[-4:], "type": "001"}
    assert shown["tokenizedCard"]["requestorId"].isdigit()
    reference = by_network["processorInformation"]["paymentAccountReferenceNumber"]
    assert reference == made(shop.call("GET", f"{CARDS}/{card['id']}"), 200)["paymentAccountReference"]
    assert approved(shop.post(f"/pts/v2/payments/{by_network['id']}/captures", ordered))["status"] == "PENDING"

    ignoring = paid(tokenInformation={"networkTokenOption": "ignore"})
    assert "processingInformation" not in ignoring
    assert ignoring["paymentInformation"]["tokenizedCard"] == {"type": "001"}

    place = f"{CARDS}/{card['id']}/issuer-life-cycle-event-simulations"
    for state, is_network in (("SUSPENDED", False), ("ACTIVE", True), ("DELETED", False)):
        assert shop.post(place, {"state": state}).status == 204
        assert ("processingInformation" in paid()) == is_network, state


def test_a_credit_goes_to_the_card_itself(shop: Client) -> None:
    number = tokenized(shop, fresh())["instrumentIdentifier"]["id"]
    ordered = {"orderInformation": {"amountDetails": {"totalAmount": "10.00", "currency": "USD"}}}
    given = approved(shop.credit(ordered | {"paymentInformation": {"instrumentIdentifier": {"id": number}}}))
    assert "processingInformation" not in given
    assert given["paymentInformation"]["tokenizedCard"] == {"type": "001"}
