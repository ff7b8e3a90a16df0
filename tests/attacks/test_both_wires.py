"""Attacks on whatever both wires have: guesses, our own names, what is shown to payers, links, words of SQL."""

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import httpx
import pytest

from kessai.dialects.paymentoptions import auth as borne
from kessai.server import Limits
from tests.acceptance.client import AUTHORIZED, Client, Service, changed, payment
from tests.acceptance.options import PREFIX, Shop, shop_of
from tests.acceptance.test_authentication import BODY, PATH
from tests.acceptance.test_search import index, search
from tests.acceptance.test_tokens import CUSTOMERS
from tests.attacks.harm import head, nothing_moves, tables
from tests.attacks.test_credentials import _header
from tests.attacks.test_limits import _asked
from tests.attacks.test_overload import _served
from tests.attacks.test_second_wire import TEXTS
from tests.hosted.payer import RETURNS, Payer
from tests.houses import opened
from tests.threeds.shop import CHALLENGE, RIGHT
from tests.threeds.test_paymentoptions import answered, ends_at, sent_away
from tests.threeds.test_paymentoptions import opened as challenged

PAYMENT: Final = f"{PREFIX}/payment"
TOLD_APART: Final = frozenset({"v-c-correlation-id", "kessai-explain"})
"""Headers of an answer that differ: its own id, and what test merchants are told."""


@pytest.fixture
def shop(service: Service) -> Shop:
    return shop_of(service, "both_wires")


def shape(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """Everything of an answer by which one refusal could be told from another."""
    return answer.status_code, answer.content, {k: v for k, v in answer.headers.items() if k not in TOLD_APART}


# ---- which keys exist


def test_an_unknown_key_of_the_second_wire_is_refused_as_a_wrong_one_is(
    service: Service, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-19: the same bytes after the same steps: two secrets are hashed, whole, before anybody looks whose they are."""
    hashed: list[int] = []
    hash_of = borne.hash_of

    def counted(secret: bytes) -> bytes:
        hashed.append(len(secret))
        return hash_of(secret)

    monkeypatch.setattr(borne, "hash_of", counted)
    good, other = dict(shop.client.headers), shop_of(service, "both_wires_other").client.headers
    almost = shop.keys["x_api_key"][:-1] + ("A" if shop.keys["x_api_key"][-1] != "A" else "B")
    nobody = "n" * len(almost)
    wrong = [
        {"authorization": borne.basic(nobody), "x-api-key": nobody},
        {"authorization": borne.basic(nobody), "x-api-key": good["x-api-key"]},
        good | {"x-api-key": almost},
        good | {"x-api-key": nobody},
        good | {"x-api-key": other["x-api-key"]},
    ]
    with nothing_moves(service, "authentication.failed"):
        answers = [shop.raw("POST", PAYMENT, headers, b"{}") for headers in wrong]
    assert [shape(answer) for answer in answers] == [shape(answers[0])] * len(wrong)
    assert answers[0].status_code == 401
    assert hashed == [len(nobody)] * 2 * len(wrong), "as many, and as long, for each of them"
    assert hash_of(almost.encode()) not in service.house.accounts.get(shop.merchant).bearers


def test_an_unknown_key_of_the_first_wire_is_compared_as_a_wrong_one_is(
    service: Service, till: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-19: one comparison of 32 bytes in constant time for each, whether there is such a key or not."""
    compared: list[tuple[int, int]] = []
    compare_digest = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare_digest(one, other)

    key, _ = service.secrets[till.merchant]
    wrong = _header(till)
    unknown = wrong | {"signature": wrong["signature"].replace(key, "0" * 36)}
    nobody = wrong | {"v-c-merchant-id": "nobody", "signature": unknown["signature"]}
    monkeypatch.setattr(hmac, "compare_digest", counted)
    steps = []
    for headers in (wrong, unknown, nobody):
        compared.clear()
        reply = till.send("POST", PATH, BODY, headers)
        told = {name: value for name, value in reply.headers.items() if name not in TOLD_APART}
        steps.append((reply.status, reply.body, told, tuple(compared)))
    assert steps == [steps[0]] * 3
    assert steps[0][3] == ((32, 32),)


# ---- our own names


@pytest.mark.parametrize(
    "settings",
    [
        'public_url = "https://Pay.Example"\n',
        'public_url = "https://pay.example:8443"\n',
        'accepted_hosts = ["PAY.example"]\n',
        'accepted_hosts = ["pay.example:8443", "other.example"]\n',
    ],
)
def test_our_own_name_is_refused_on_either_port(tmp_path: Path, settings: str) -> None:
    """A-77: as an operator wrote it, with its port or without, and as a merchant writes it."""

    async def main() -> None:
        async with opened(tmp_path, works=False, settings=settings) as house:
            merchant = house.accounts.get("kessai_sandbox").merchant
            for port in ("", ":443", ":8443"):
                for host in ("pay.example", "PAY.EXAMPLE"):
                    assert not house.registry.may_name(merchant, f"https://{host}{port}/hook")
            assert house.registry.may_name(merchant, "https://shop.example/hook")
            assert not house.registry.may_name(merchant, "https://pay.example./hook")

    asyncio.run(main())


# ---- what payers are shown

HARM: Final = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' autofocus onfocus=alert(1) x='",
    "</title></style></textarea><svg/onload=alert(1)>",
    "<!--",
    "{{7*7}}${shop}$order$$%(a)s&lt;b&gt;&#60;",
    "javascript:alert(1)",
)
PLAIN: Final = "Aozora"


class Skeleton(HTMLParser):
    """The elements of a page with their attributes, and neither values nor texts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", (data,)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def skeleton(text: str) -> Skeleton:
    read = Skeleton()
    read.feed(text)
    read.close()
    return read


def named(service: Service, merchant: str, legal_name: str) -> Shop:
    if service.house.accounts.find(merchant) is None:
        add = service.house.accounts.add(merchant, "sandbox", service.house.clock(), legal_name=legal_name)
        service.run(add)
    return Shop(service, merchant)


def pages_of_a_link(shop: Shop, text: str) -> list[str]:
    """What a payer meets: amount, form in both languages, mistakes, a decline, a challenge's way back, the end."""
    asks = Payer.of(shop, amount=None, merchant_txn_ref=text[:45], merchant_email=text[:45])
    pays = Payer.of(shop, merchant_txn_ref=text[:45], billing_address__city=text)
    seen = [asks.open(amount=text), pays.open(lang="ja"), pays.open(lang="en")]
    seen.append(pays.pay(seen[-1], name=text, cvc="1"))
    seen.append(pays.pay(seen[-1], name=text, scenario="insufficient-funds"))
    assert pays.pay(seen[-1], name=text).sent_to == RETURNS["success_url"]
    return [page.answer.text for page in (*seen, pays.open())]


def pages_of_a_challenge(shop: Shop, text: str) -> list[str]:
    asked = shop.body(card__number=CHALLENGE, merchant_txn_ref=text[:45], card__name=text)
    page = challenged(shop, sent_away(shop.post("paymentv2", asked)))
    again = answered(shop, page, text)
    assert ends_at(answered(shop, again, RIGHT)) == "https://shop.example/ok"
    return [page.answer.text, again.answer.text]


@pytest.mark.parametrize("pages", [pages_of_a_link, pages_of_a_challenge], ids=["hosted page", "challenge page"])
def test_what_comes_from_outside_makes_no_element(service: Service, pages: Callable[[Shop, str], list[str]]) -> None:
    """A-80: with a harmful merchant's name and reference a page has the elements that it has with harmless ones."""
    usual = [skeleton(text).found for text in pages(named(service, "named_plain", PLAIN), PLAIN)]
    assert all(usual)
    for number, harm in enumerate(HARM):
        shown = pages(named(service, f"named_{number}", harm), harm)
        read = [skeleton(text) for text in shown]
        assert [each.found for each in read] == usual
        assert any(harm in " ".join(each.texts) for each in read), "it is shown, as a text"


# ---- links that nobody was given


def test_guessed_links_are_limited_and_known_payers_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A-81, R-59: 429 after a hundred; a payer who was here before stays, a right guess does not come through."""
    monkeypatch.setenv("KESSAI_FAILURES_PER_S", "1")

    async def main() -> None:
        async with _served(tmp_path, Limits()) as (house, port):
            pair = await house.accounts.bearer("kessai_sandbox")
            host = {"host": f"127.0.0.1:{port}"}

            def get(path: str) -> bytes:
                return head("GET", path, host)

            async def link() -> str:
                body = json.dumps({"merchant_id": "kessai_sandbox", "amount": 100, "currency": "JPY"}).encode()
                keys = {"authorization": borne.basic(pair.api_key), "x-api-key": pair.x_api_key}
                ask = head("POST", f"{PREFIX}/hpp/generate/link", host | keys | {"content-length": str(len(body))})
                [(status, _, answer)] = await _asked(port, [ask + body])
                assert status == 201
                return "/" + str(json.loads(answer)["url"]).split("/", 3)[3]

            mine, others = await link(), [await link() for _ in range(5)]
            assert (await _asked(port, [get(mine)]))[0][0] == 200
            codes = [f"{number:024d}".translate(str.maketrans("0123456789", "abcdefghij")) for number in range(600)]
            guesses = [get(f"{mine[:-24]}{code}") for code in codes[:400]]
            guesses += [get(f"/integration/3ds?_token={code}") for code in codes[400:500]]
            guesses += [get(f"/HostedPaymentPage/nobody/{code}") for code in codes[500:]]
            answers = await _asked(port, guesses)
            said = Counter(status for status, _, _ in answers)
            assert set(said) == {404, 429}
            assert said[404] >= 100
            assert said[429] > said[404]
            assert len({body for status, _, body in answers[:400] if status == 404}) == 1
            assert len({body for status, _, body in answers if status == 429}) == 1
            assert all(int(headers["retry-after"]) >= 1 for status, headers, _ in answers if status == 429)
            told = []
            for other in others:  # a failure a second is free again: one of them might meet it
                last = await _asked(port, [*guesses[:20], get(other), get(mine)])
                told.append([status for status, _, _ in last[-2:]])
            assert [429, 200] in told
            assert {known for _, known in told} == {200}

    asyncio.run(main())


# ---- words of SQL


@pytest.mark.parametrize("text", TEXTS)
def test_words_of_sql_are_words(service: Service, till: Client, text: str) -> None:
    """A-88: in every free member of the first wire, in its searches, sorts and filters, and in ids of its paths."""
    before = tables(service)
    document = changed(
        payment(),
        {
            "clientReferenceInformation.code": text,
            "orderInformation.billTo.firstName": text,
            "orderInformation.billTo.locality": text,
            "merchantDefinedInformation": [{"key": "1", "value": text}],
            "buyerInformation.merchantCustomerId": text,
        },
    )
    paid = till.pay(document)
    assert paid.said == AUTHORIZED
    assert paid.json["clientReferenceInformation"]["code"] == text
    assert till.details(paid.id)["orderInformation"]["billTo"]["firstName"] == text
    index(service)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    for query in (f'clientReferenceInformation.code:"{quoted}"', text, f"{text}:1", f"id:{text}"):
        found = search(till, query, sort="id:desc")
        assert found.status in (201, 400), found.body
        assert found.status == 400 or found.json["totalCount"] <= 1, "it widens no search"
    assert search(till, "submitTimeUtc:[NOW/DAY-1DAY TO NOW/DAY+1DAY}", sort=text).status in (201, 400)
    escaped = str(httpx.QueryParams({"x": text}))[2:]
    with nothing_moves(service, None):
        for filters in ("code", "status"):
            listed = till.call("GET", f"/rbs/v1/subscriptions?{filters}={escaped}")
            assert listed.status in (200, 400)
            assert listed.status == 400 or not listed.json.get("subscriptions")
        for place in ("offset", "limit"):
            assert till.call("GET", f"/rbs/v1/plans?{place}={escaped}").status == 400
        path = escaped.replace("+", "%20")
        for route in (f"{CUSTOMERS}/{path}", f"/rbs/v1/plans/{path}", f"/tss/v2/transactions/{path}"):
            assert till.call("GET", route).status in (400, 404)
        assert till.call("GET", f"/notification-subscriptions/v2/webhooks?productId={escaped}").any == []
    assert tables(service) == before
