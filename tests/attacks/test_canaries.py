"""Known numbers, codes and keys go through every operation, scenario and error, and are then searched for.

T-19. Searched are: each file of the data folder with the write-ahead log, what rows keep packed, the log, what a killed
process leaves on its standard error, and every answer with its headers.
"""

import asyncio
import base64
import hashlib
import json
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest

from kessai.acquirers.simulator.scenarios import SCENARIOS
from kessai.dialects.cybersource import token_routes
from kessai.dialects.cybersource.auth import SharedSecret, sign
from kessai.payment.card import Pan
from kessai.payment.lifecycle import Operation
from kessai.storage.compact import unpack
from kessai.storage.sqlite import connect
from kessai.tokens.objects import NetworkToken
from tests import commands, postgres
from tests.acceptance.client import Client, Json, Service, amount_of, changed, payment, reversal_of
from tests.acceptance.options import PREFIX, shop_of
from tests.acceptance.test_authentication import PATH
from tests.acceptance.test_secrets import CODE, ORDER, PANS, TRACK, card, forms, in_wrong_places, through_everything
from tests.attacks.harm import rows, tables
from tests.hosted.payer import Payer, path_of

PAN = "4917610000000000"
"""A number that goes through every scenario."""
STORED = "5200828282828210"
"""A number that only tokens are made of."""
ACCOUNT = "27182818284590459"
"""A bank account's."""
CANARIES = (*PANS, PAN, ORDER, STORED, ACCOUNT)
Places = Mapping[str, bytes]

# A code of four digits comes by chance in the hexadecimal of an id, so that its neighbours may not be of those.
_CODE = re.compile(rb"(?<![0-9A-Fa-f-])" + CODE.encode() + rb"(?![0-9A-Fa-f-])")


def _through_every_scenario(till: Client) -> None:
    """Each way in which an exchange can end, for each operation."""
    for scenario in SCENARIOS.values():
        ends = {"Kessai_Scenario": scenario.name}
        if scenario.operations & {Operation.AUTHORIZE, Operation.SALE}:
            till.pay(card(PAN), **ends)
        if Operation.CREDIT in scenario.operations:
            till.credit(card(PAN), **ends)
        sold = till.pay(changed(card(PAN), {"processingInformation.capture": True})).id
        held = till.pay(card(PAN)).id
        named = {"paymentInformation": {"card": {"number": PAN, "securityCode": CODE}}}
        if Operation.REFUND in scenario.operations:
            till.post(f"{PATH}/{sold}/refunds", amount_of("1.00") | named, **ends)
        if Operation.CAPTURE in scenario.operations:
            till.post(f"{PATH}/{held}/captures", amount_of("1.00") | named, **ends)
        if Operation.VOID in scenario.operations:
            till.post(f"{PATH}/{sold}/voids", named, **ends)
        if Operation.REVERSAL in scenario.operations:
            till.post(f"{PATH}/{held}/reversals", reversal_of("1.00") | named, **ends)


def _through_every_token(till: Client) -> None:
    """Every route of the token family, with numbers where they belong and where they do not."""
    secret = {"securityCode": CODE, "expirationMonth": "12", "expirationYear": "2031"}
    numbers: dict[str, Json] = {each: {"card": {"number": each, **secret}} for each in (STORED, *PANS)}
    numbers[ACCOUNT] = {"bankAccount": {"number": ACCOUNT, "routingNumber": "071923284"}}
    noted: Json = {"objectInformation": {"title": ORDER, "comment": int(ORDER)}}
    noted |= {"clientReferenceInformation": {"code": ORDER}}
    noted |= {"merchantDefinedInformation": [{"name": "data1", "value": ORDER}]}
    named = {"billTo": {"firstName": ORDER, "address1": ORDER, "company": ORDER}}
    customer = till.post("/tms/v2/customers", noted).id
    for digits, document in numbers.items():
        for turn in range(2):
            key = f"token-{digits[-4:]}-{turn // 2}"
            number = till.post("/tms/v1/instrumentidentifiers", document | named, Idempotency_Key=key).id
        path = f"/tms/v2/customers/{customer}/payment-instruments"
        kind = {"bankAccount": {"type": "savings"}} if digits == ACCOUNT else {"card": {"number": digits, **secret}}
        for place in (path, "/tms/v1/paymentinstruments"):
            for refers in ({"id": number}, document):
                card = till.post(place, kind | named | {"instrumentIdentifier": refers}, Idempotency_Key=digits).id
                again = {"instrumentIdentifier": document, "default": True}
                till.call("PATCH", f"{place}/{card}", kind | named | again)
                till.call("GET", f"{place}/{card}")
            till.post(place, kind | {"instrumentIdentifier": {"id": digits}})
        till.call("PATCH", f"/tms/v1/instrumentidentifiers/{number}", document)
        till.call("PATCH", f"/tms/v1/instrumentidentifiers/{number}", {"previousTransactionId": digits} | named)
        told = {"customer": noted, "instrumentIdentifier": document, "paymentInstrument": named, "jti": None}
        till.post("/tms/v2/tokenize", {"tokenInformation": told})
        for row in token_routes.ROUTES if digits != ACCOUNT else ():  # a log of paths knows no account by its looks
            body = document | {"shipTo": named["billTo"]} | named if row.method in ("POST", "PATCH") else None
            for token in (digits, f"{number}?number={digits}"):
                path = row.path.format(customer=customer, id=token, provider="vts", asset=digits)
                till.call(row.method, path, body, {"profile-id": digits * 2})
                till.call(row.method, path, body, {"if-match": digits})
        if digits != ACCOUNT:
            _through_network_tokens(till, digits, document)
        wrong = digits[:-1] + str((int(digits[-1]) + 1) % 10)
        till.post("/tms/v1/instrumentidentifiers", {"card": {"number": f"{digits} {wrong}"}})
        till.call("POST", "/tms/v1/instrumentidentifiers", body=f'{{"card":{{"number":"{digits}"'.encode())


def _through_stored_cards(till: Client) -> None:
    """Payments that make tokens and pay with them, with numbers where ids belong."""
    for digits in (STORED, PAN):
        create = {"actionList": ["TOKEN_CREATE"], "actionTokenTypes": ["customer", "paymentInstrument"]}
        addresses = {"shipTo": {"firstName": digits}, "billTo": {"company": digits, "address2": digits}}
        named = changed(card(digits), {"processingInformation": create, "tokenInformation.jti": None})
        for name, members in addresses.items():
            for member, value in members.items():
                named = changed(named, {f"orderInformation.{name}.{member}": value})
        for ending in ("approve", "insufficient-funds", "answer-lost"):
            made = till.pay(named, Idempotency_Key=f"{digits}-{ending}", Kessai_Scenario=ending)
            told = made.json.get("tokenInformation", {})
            assert bool(told) == (ending == "approve"), made.body
            if told:
                paying = {"customer": told["customer"]}
                ordered = {"orderInformation": {"amountDetails": {"totalAmount": "1.00", "currency": "USD"}}}
                assert till.pay(ordered | {"paymentInformation": paying}).status == 201
                assert till.credit(ordered | {"paymentInformation": paying}).status == 201
        for name in ("customer", "paymentInstrument", "instrumentIdentifier", "shippingAddress", "legacyToken"):
            till.pay({**named, "paymentInformation": {name: {"id": digits}}})
            till.credit({**named, "paymentInformation": {name: {"id": int(digits)}}})


def _through_the_second_wire(service: Service) -> None:
    """Cards, codes and numbers in wrong places over PaymentOptions: paid, stored, subscribed to, asked for, typed."""
    shop = shop_of(service, "canaries_po")
    amex = PANS[2]
    for digits in (PAN, *PANS):
        code = {"card__number": digits, "card__cvc": CODE if digits == amex else "391"}
        noted = {"merchant_txn_ref": digits, "billing_address__address1": ORDER, "card__name": ORDER}
        for scenario in ("approve", "insufficient-funds", "answer-lost"):
            for path in ("payment", "paymentv2", "authorization", "authorizationv2"):
                wanted = shop.body(**code, **noted, payment_method__store_payment_method=True)
                made = shop.post(
                    path, wanted, {"kessai-scenario": scenario, "idempotency-key": f"{path} {digits} {scenario}"}
                )
                shop.post(path, shop.body(card__number=digits, card__cvc=f"{CODE}{CODE}"))
                assert made.success == (scenario == "approve"), made.document
                if made.success:
                    shop.client.status(made.id)
                    shop.post(path, shop.body(card=None, payment_method__stored_payment_method_id=made.token))
                    shop.follow("capture" if "authorization" in path else "refund", made.id, amount=1)
        plan = {
            "plan_name": digits,
            "plan_desc": ORDER,
            "cycle_type": "DAYS",
            "cycle_interval": 2,
            "max_cycle_count": 2,
        }
        shop.post("subscription/payment", shop.body(**code, **noted, subscription=plan))
        link = shop.post("hpp/generate/link", shop.body(card=None, **{"merchant_txn_ref": digits}))
        payer = Payer(service.http, path_of(link))
        page = payer.open()
        for number in (f"{digits}{digits}", digits):
            payer.pay(page, number=number, cvc=CODE if digits == amex else "391")
        for path in (f"transaction/status/{digits}", f"subscription/{digits}", f"subscription/{digits}/pause"):
            shop.client.call("GET" if "pause" not in path else "POST", f"/{path}")
        shop.raw("POST", f"{PREFIX}/payment", {}, body=f'{{"card":{{"number":"{digits}","cvc":"{CODE}"'.encode())


def _through_network_tokens(till: Client, digits: str, document: Json) -> None:
    """A card gets a network token, which is read, paid with in every way, suspended and taken up again."""
    named = {"consumerId": digits, "accountReferenceId": digits, "type": digits, "cryptogram": digits}
    card = till.post("/tms/v2/tokenized-cards", document | named, Idempotency_Key=f"network-{digits[-4:]}").json
    number, place = card["instrumentIdentifier"]["id"], f"/tms/v2/tokenized-cards/{card['id']}"
    till.post(f"/tms/v1/instrumentidentifiers/{number}/enrollment", document | {"type": "enrollable card"})
    till.call("GET", f"/tms/v1/instrumentidentifiers/{number}")
    for asked in ({}, {"paymentCredentialType": "NETWORK_TOKEN", "clientCorrelationId": digits}):
        till.post(f"/tms/v2/tokens/{number}/payment-credentials", asked)
    for state in ("SUSPENDED", "ACTIVE"):
        till.post(f"{place}/issuer-life-cycle-event-simulations", {"state": state, "card": {"last4": digits}})
        till.post(f"{place}/issuer-life-cycle-event-simulations", {"state": state})
        till.call("GET", place)
    till.post(f"{place}/delete", {"reason": {"code": digits, "description": digits}})


def _unpacked(values: Iterable[object]) -> bytes:
    """Values of rows as text or bytes, what is packed unpacked."""
    return b"\n".join(_open(value) if isinstance(value, bytes) else str(value).encode() for value in values)


def _values(service: Service) -> list[object]:
    return [value for table in tables(service) for row in rows(service, f"SELECT * FROM {table}") for value in row]


def _open(value: bytes) -> bytes:
    try:
        return value + b"\n" + unpack(value)
    except Exception:  # it was not packed
        return value


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def places(service: Service) -> Places:
    """What is left behind, and what was answered, after everything was done in one process."""
    answers: list[bytes] = []

    def keep(response: httpx.Response) -> None:
        headers = b"\n".join(name + b": " + value for name, value in response.headers.raw)
        answers.append(headers + b"\n\n" + response.read())

    service.http.event_hooks = {"response": [keep]}
    try:
        till, accounts, now = service.till(), service.house.accounts, service.house.clock()
        key = service.run(accounts.messages.key_store(till.merchant, "secret", now)).certificate
        service.run(accounts.add_answer_key(till.merchant, now, key, "canaries"))
        through_everything(till)
        _through_every_scenario(till)
        _through_every_token(till)
        _through_stored_cards(till)
        _through_the_second_wire(service)
        answered = b"\n".join(answers)
        in_wrong_places(till)  # here the wire says once again what it was sent
    finally:
        service.http.event_hooks = {}
    service.until_quiet()
    folder = service.house.folder
    found = _files(folder) | (asyncio.run(postgres.copies(service.database)) if service.database else {})
    kept, said = _unpacked(_values(service)), service.logs.getvalue().encode()
    return found | {"rows": kept, "the log": said, "answers": answered}


def _hits(places: Places, digits: str) -> list[tuple[str, str]]:
    return [(place, name) for place, data in places.items() for name, form in forms(digits) if form in data]


def _hits_of_a_key(places: Places, key: bytes, declared: Iterable[str] = ()) -> list[tuple[str, str]]:
    written = {
        "raw": key,
        "base64": base64.b64encode(key).rstrip(b"="),
        "base64url": base64.urlsafe_b64encode(key).rstrip(b"="),
        "hex": key.hex().encode(),
        "HEX": key.hex().upper().encode(),
        "UTF-16": base64.b64encode(key).decode().encode("utf-16-le"),
        "backwards": key[::-1],
    }
    searched = {place: data for place, data in places.items() if place not in declared}
    return [(place, name) for place, data in searched.items() for name, form in written.items() if form in data]


def test_the_search_looks_where_something_is(service: Service, places: Places) -> None:
    """T-19: the tests of the test."""
    kept = (
        {"payments", "transactions", "events", "tokens", "answers"}
        if service.database
        else {"kessai.db", "kessai.db-wal"}
    )
    assert kept | {"kek", "rows", "the log", "answers"} <= set(places)
    assert b"AUTHORIZED" in places["rows"]
    assert b"520082XXXXXX8210" in places["rows"]
    assert b"520082XXXXXX8210" in places["answers"]
    assert places["answers"].count(b"AUTHORIZED") > 50
    assert places["the log"].count(b'"event"') > 300
    assert _hits({"x": b"..." + PAN.encode("utf-16-be")}, PAN) == [("x", "utf-16-be")]
    assert _hits_of_a_key({"x": bytes(range(32)).hex().encode()}, bytes(range(32))) == [("x", "hex")]


@pytest.mark.parametrize("digits", CANARIES)
def test_no_card_number_is_found_in_any_form(places: Places, digits: str) -> None:
    """T-19, A-67, P7."""
    assert _hits(places, digits) == []


def test_no_number_of_a_network_token_is_found_in_any_form(service: Service, places: Places) -> None:
    """T-19: they are sealed as a card's are, and told to the merchant's own key alone."""
    make = service.house.tokenizer
    wanted = "SELECT merchant_id, id FROM tokens WHERE kind = 'network token' AND state = 'ACTIVE'"

    async def number_of(merchant: str, token_id: str) -> str:
        token = await make.tokens.network_token(merchant, token_id)
        assert isinstance(token, NetworkToken)
        return make.network_card(merchant, token).number.digits

    numbers = [service.run(number_of(*row)) for row in rows(service, wanted)]
    assert len(numbers) > 2
    assert b"application/jose" in places["answers"]
    for digits in numbers:
        assert Pan(digits).masked().encode() in places["answers"]
        assert _hits(places, digits) == []


def test_no_security_code_and_no_track_is_found(places: Places) -> None:
    """T-19, A-60, P7."""
    found = [place for place, data in places.items() if _CODE.search(data) or TRACK[18:-1].encode() in data]
    assert found == []
    assert [place for place, data in places.items() if f'"{CODE}"'.encode("utf-16-le") in data] == []


def test_no_key_is_found_but_where_it_is_kept(service: Service, places: Places) -> None:
    """T-19: the key over all keys in its own file only, a merchant's secret nowhere."""
    kek = base64.b64decode((service.house.folder / "keys" / "kek").read_text())
    assert _hits_of_a_key(places, kek, declared=["kek"]) == []
    secrets = [secret for _, secret in service.secrets.values()]
    assert secrets
    for secret in secrets:
        assert _hits_of_a_key(places, secret) == []


def test_no_hash_of_a_security_code_is_kept(service: Service) -> None:
    """A-60: what binds a repeat to its request cannot be tried out by who has the database and no key."""
    till = service.merchant("bound", exact_repeat="answer")
    document = card(PAN)
    assert till.post(PATH, document).status == 201
    sent = json.dumps(document).encode()
    digest = hashlib.sha256(sent).digest()
    guesses = list(_guesses(sent, digest, till.merchant))
    kept = [value for value in _values(service) if isinstance(value, bytes)]
    assert kept
    assert [guess for guess in guesses for value in kept if guess[:16] in value] == []


def _guesses(sent: bytes, digest: bytes, merchant: str) -> Iterator[bytes]:
    """Hashes that can be computed from a guessed body and what stands beside it in the database."""
    for text in (sent, digest, base64.b64encode(digest), b"SHA-256=" + base64.b64encode(digest)):
        for start in (b"", f"POST {PATH}\n".encode(), f"post {PATH}\n".encode()):
            yield hashlib.sha256(start + text).digest()
            for length in (16, 20, 32, 64):
                yield hashlib.blake2b(start + text, digest_size=length).digest()
                yield hashlib.blake2b(start + text, key=merchant.encode(), digest_size=length).digest()


# ---- a process that is killed


@pytest.fixture(scope="module")
def corpse(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """What is left of a gateway that was killed while an acquirer thought; its standard error is the last place."""
    folder, errors = tmp_path_factory.mktemp("killed"), tmp_path_factory.mktemp("errors") / "stderr"
    (folder / "kessai.toml").write_text('acquirer_deadline_s = 30\nlog_level = "debug"\n')
    with errors.open("wb") as stream:
        process = subprocess.Popen(
            [*commands.COMMAND, "serve", "--port", "0", "--json"],
            env=commands.ENVIRONMENT | {"KESSAI_DATA": str(folder)},
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        merchant = ready["merchants"][0]
        key = SharedSecret.of(merchant["key_id"], merchant["shared_secret"], merchant["id"])
        answers = []
        with httpx.Client(base_url=ready["url"]) as http:
            asked = ((PAN, "approve", 20.0), (PANS[0], "general-decline", 20.0), (PANS[1], "no-answer", 1.0))
            for number, scenario, patience_s in asked:
                body = json.dumps(card(number)).encode()
                host = ready["url"].partition("//")[2]
                headers = sign(
                    method="POST",
                    target=PATH,
                    host=host,
                    body=body,
                    merchant_id=merchant["id"],
                    key=key,
                    date_text=formatdate(usegmt=True),
                ) | {"content-type": "application/json", "kessai-scenario": scenario}
                try:
                    answers.append(http.post(PATH, content=body, headers=headers, timeout=patience_s).content)
                except httpx.ReadTimeout:
                    answers.append(b"no answer yet")
    finally:
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        process.wait(30)
    assert answers[2] == b"no answer yet"
    rest = {"stderr": errors.read_bytes(), "answers": b"\n".join(answers), "rows": _unpacked(_rows_of(folder))}
    return _files(folder) | rest


def _rows_of(folder: Path) -> list[object]:
    with closing(connect(folder / "kessai.db")) as reader:
        names = [name for (name,) in reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
        return [value for name in names for row in reader.execute(f"SELECT * FROM {name}") for value in row]


def test_a_kill_between_sending_and_the_answer_leaves_no_secret_behind(corpse: Places) -> None:
    """T-19, A-60, A-61."""
    assert b"AUTHORIZED" in corpse["answers"]
    assert b"pending" in corpse["rows"]
    assert b"authorize.approved" in corpse["stderr"]
    for digits in (PAN, *PANS[:2]):
        assert _hits(corpse, digits) == []
    assert [place for place, data in corpse.items() if _CODE.search(data)] == []


def test_a_crash_tells_its_line_and_no_value(service: Service) -> None:
    """T-19, A-69: a fault inside of a request is written without what was in its hands."""
    till, read = service.till(), len(service.logs.getvalue())
    broken, house = service.house.gateway.payments, service.house
    service.house.gateway.payments = None  # type: ignore[assignment]
    try:
        reply = till.post(f"{PATH}/7000000000006000103001/refunds", amount_of("1.00") | card(PAN))
    finally:
        house.gateway.payments = broken
    assert reply.status == 502
    said = service.logs.getvalue()[read:]
    assert '"event":"request.fault"' in said
    assert _hits({"log": said.encode(), "answer": reply.body}, PAN) == []
    assert not _CODE.search(said.encode())
    assert till.pay(payment()).status == 201
