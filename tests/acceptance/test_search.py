"""Searches over the wire, on both databases: every answer is compared with a plain filter over the same details."""

import random
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import pytest

from kessai.dialects.cybersource.searchable import FIELDS
from tests.acceptance.client import MASTERCARD, VISA, Client, Json, Reply, Service, changed, payment

PATH: Final = "/tss/v2/searches"
FIRST: Final = ("Hanako", "Taro", "Jürgen", "O'Neil", "田中")
LAST: Final = ("Suzuki", "suzuki", "Sato", "Sat%o", "S_to", "van der Berg")
CODES: Final = ("Order-1", "ORDER-2", "order 3", "x' OR '1'='1", 'he said "no"', "a(b)c", "back\\slash")
AMOUNTS: Final = ("1.00", "10.00", "99.99", "102.21", "5000.00")


def search(client: Client, query: str, **more: object) -> Reply:
    return client.post(PATH, {"query": query, **more})


def found(reply: Reply) -> list[str]:
    """The ids of an answer, whose form is checked."""
    assert reply.status in (200, 201), reply.body
    document = reply.json
    summaries = document.get("_embedded", {}).get("transactionSummaries", [])
    assert document["count"] == len(summaries) <= document["totalCount"]
    assert ("_embedded" in document) is bool(summaries)
    assert document["_links"]["self"]["href"].endswith(f"{PATH}/{document['searchId']}")
    assert str(uuid.UUID(document["searchId"])) == document["searchId"]
    for each in summaries:
        assert each["merchantId"]
        assert each["_links"]["transactionDetail"]["href"].endswith(f"/tss/v2/transactions/{each['id']}")
    return [each["id"] for each in summaries]


def index(service: Service) -> None:
    """Everything that was done until now comes into the index."""
    service.run(service.house.worker.indexer.round(behind_s=0))


@dataclass(frozen=True)
class Shop:
    """A merchant with a little of everything, and the details of all of it, newest first."""

    client: Client
    details: list[Json]

    def ids(self, holds: Callable[[Json], bool]) -> list[str]:
        return [each["id"] for each in self.details if holds(each)]


@pytest.fixture(scope="module")
def shop(service: Service) -> Shop:
    client = service.merchant("searched", increments="true")
    chance = random.Random(1)
    ids: list[str] = []
    for number in range(40):
        document = payment(chance.choice(AMOUNTS), chance.choice(("USD", "JPY")), chance.choice((VISA, MASTERCARD)))
        document = changed(
            document,
            {
                "clientReferenceInformation.code": chance.choice(CODES),
                "orderInformation.billTo.firstName": chance.choice(FIRST),
                "orderInformation.billTo.lastName": chance.choice(LAST),
                "orderInformation.billTo.email": f"buyer{number % 7}@example.com",
                "orderInformation.billTo.phoneNumber": f"03-1234-567{number % 5}",
                "deviceInformation.ipAddress": f"10.0.0.{number % 3}",
                "processingInformation.capture": number % 4 == 0,
            },
        )
        if number % 5 == 0:
            document["buyerInformation"] = {"merchantCustomerId": f"Customer {number % 10}"}
        scenario = {7: "risk-reject", 13: "risk-review", 21: "system-error", 25: "time-out"}.get(number)
        reply = client.pay(document, **({"Kessai_Scenario": scenario} if scenario else {}))
        ids.append(reply.id)
        if reply.status == 201 and number % 4 == 1:
            amount = document["orderInformation"]["amountDetails"]
            body = {"orderInformation": {"amountDetails": amount}}
            captured = client.post(f"/pts/v2/payments/{reply.id}/captures", body)
            ids.append(captured.id)
            if captured.status == 201 and number % 8 == 1:
                ids.append(client.post(f"/pts/v2/captures/{captured.id}/refunds", body).id)
        if reply.status == 201 and number % 4 == 2:
            amount = document["orderInformation"]["amountDetails"]
            ids.append(
                client.post(
                    f"/pts/v2/payments/{reply.id}/reversals", {"reversalInformation": {"amountDetails": amount}}
                ).id
            )
    service.until_quiet()
    index(service)
    stored = [i for i in ids if client.call("GET", f"/tss/v2/transactions/{i}").status == 200]
    related = {
        link["href"].rpartition("/")[2]
        for identifier in stored
        for link in client.details(identifier)["_links"]["relatedTransactions"]
    }
    everything = sorted({*stored, *related}, reverse=True)
    return Shop(client, [client.details(identifier) for identifier in everything])


# ---- queries, and what they mean to somebody who reads them

Meaning = Callable[[Json], bool]


def texts(path: str) -> Callable[[Json], list[str]]:
    def read(details: Json) -> list[str]:
        places: list[object] = [details]
        for step in path.split("."):
            next_places: list[object] = []
            for place in places:
                value = place.get(step) if isinstance(place, dict) else None
                next_places += value if isinstance(value, list) else [] if value is None else [value]
            places = next_places
        return [str(place) for place in places if place != ""]

    return read


def same(path: str, value: str) -> Meaning:
    return lambda details: any(text.casefold() == value.casefold() for text in texts(path)(details))


def like(path: str, pattern: str) -> Meaning:
    shape = "".join(
        ".*" if part == "*" else "." if part == "?" else re.escape(part.casefold())
        for part in re.split(r"([*?])", pattern)
    )
    return lambda details: any(re.fullmatch(shape, text.casefold()) is not None for text in texts(path)(details))


def between(low: str | None, high: str | None, *, low_in: bool, high_in: bool) -> Meaning:
    def holds(details: Json) -> bool:
        amount = Decimal(details["orderInformation"]["amountDetails"]["totalAmount"])
        above = low is None or (amount >= Decimal(low) if low_in else amount > Decimal(low))
        below = high is None or (amount <= Decimal(high) if high_in else amount < Decimal(high))
        return above and below

    return holds


SAME: Final[dict[str, tuple[str, ...]]] = {
    "clientReferenceInformation.code": CODES,
    "orderInformation.billTo.firstName": FIRST,
    "orderInformation.billTo.lastName": (*LAST, "Nobody", "%", "_"),
    "orderInformation.billTo.email": ("buyer1@example.com", "BUYER2@EXAMPLE.COM", "x@example.com"),
    "orderInformation.billTo.phoneNumber": ("03-1234-5671", "03-1234-5679"),
    "orderInformation.amountDetails.currency": ("USD", "jpy", "EUR"),
    "paymentInformation.card.suffix": ("1111", "4444", "0000"),
    "paymentInformation.card.prefix": ("411111", "555555"),
    "paymentInformation.paymentType.method": ("vi", "MC", "ax"),
    "paymentInformation.paymentType.type": ("credit card", "check"),
    "processingInformation.commerceIndicator": ("internet", "moto"),
    "processorInformation.approvalCode": ("888888", "831000", "000000"),
    "applicationInformation.applications.name": ("ics_auth", "ics_bill", "ics_credit", "ics_auth_reversal", "ics_void"),
    "applicationInformation.applications.rFlag": ("SOK", "DCARDREFUSED", "ESYSTEM", "ETIMEOUT"),
    "applicationInformation.applications.reasonCode": ("100", "204", "150", "480", "250"),
    "deviceInformation.ipAddress": ("10.0.0.1", "10.0.0.9"),
    "buyerInformation.merchantCustomerId": ("customer 0", "Customer 5", "Customer 7"),
    "merchantId": ("searched", "kessai_sandbox"),
}
WILD: Final[dict[str, tuple[str, ...]]] = {
    "clientReferenceInformation.code": ("order*", "*1", "O?der-1", "*"),
    "orderInformation.billTo.lastName": ("sa*", "S?t*", "*%*", "van*", "*_*"),
    "orderInformation.billTo.email": ("buyer*", "buyer?@example.com", "*.org"),
    "applicationInformation.applications.name": ("ics_auth*", "*bill"),
    "buyerInformation.merchantCustomerId": ("*", "cust*"),
    "paymentInformation.card.suffix": ("1*", "*4"),
}


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def clause(chance: random.Random) -> tuple[str, Meaning]:
    kind = chance.randrange(10)
    if kind < 5:
        path = chance.choice(sorted(SAME))
        value = chance.choice(SAME[path])
        return f"{path}:{quoted(value)}", same(path, value)
    if kind < 7:
        path = chance.choice(sorted(WILD))
        pattern = chance.choice(WILD[path])
        return f"{path}:{pattern}", like(path, pattern)
    if kind < 9:
        low, high = chance.choice((None, *AMOUNTS)), chance.choice((None, *AMOUNTS))
        low_in, high_in = chance.random() < 0.5, chance.random() < 0.5
        written = f"{'[' if low_in else '{'}{low or '*'} TO {high or '*'}{']' if high_in else '}'}"
        meaning = between(low, high, low_in=low_in, high_in=high_in)
        return f"orderInformation.amountDetails.totalAmount:{written}", meaning
    path = chance.choice(sorted(SAME))
    values = chance.sample(SAME[path], 2)
    one, other = (same(path, value) for value in values)
    return f"{path}:({' OR '.join(map(quoted, values))})", lambda details: one(details) or other(details)


def query_of(chance: random.Random, depth: int = 0) -> tuple[str, Meaning]:
    if depth >= 2 or chance.random() < 0.4:
        return clause(chance)
    parts = [query_of(chance, depth + 1) for _ in range(chance.randint(2, 3))]
    meanings = [meaning for _, meaning in parts]
    if chance.random() < 0.65:
        return f"({' AND '.join(text for text, _ in parts)})", lambda details: all(each(details) for each in meanings)
    return f"({' OR '.join(text for text, _ in parts)})", lambda details: any(each(details) for each in meanings)


def test_a_search_finds_what_a_plain_filter_finds(shop: Shop) -> None:
    chance = random.Random(2026)
    sizes = set()
    for _ in range(150):
        query, meaning = query_of(chance)
        expected = shop.ids(meaning)
        reply = search(shop.client, query, limit=2500)
        assert found(reply) == expected, query
        assert reply.json["totalCount"] == len(expected)
        sizes.add(len(expected))
    assert len(sizes) > 12, "the queries find too much alike"


def test_times_compare_as_they_are_shown(shop: Shop) -> None:
    times = sorted({details["submitTimeUTC"] for details in shop.details})
    chance = random.Random(5)
    for _ in range(40):
        low, high = chance.choice(times), chance.choice(times)
        low_in, high_in = chance.random() < 0.5, chance.random() < 0.5
        expected = shop.ids(
            lambda details, low=low, high=high, low_in=low_in, high_in=high_in: (  # type: ignore[misc]
                (details["submitTimeUTC"] >= low if low_in else details["submitTimeUTC"] > low)
                and (details["submitTimeUTC"] <= high if high_in else details["submitTimeUTC"] < high)
            )
        )
        written = f"{'[' if low_in else '{'}{low} TO {high}{']' if high_in else '}'}"
        assert found(search(shop.client, f"submitTimeUtc:{written}", limit=2500)) == expected, written
    one = times[0]
    at = int(datetime.fromisoformat(one).timestamp() * 1000)
    expected = shop.ids(lambda details: details["submitTimeUTC"] == one)
    assert found(search(shop.client, f"submitTimeUtc:[{at}]", limit=2500)) == expected


@pytest.mark.parametrize("zone", [None, "Asia/Tokyo", "America/Chicago"])
def test_days_are_those_of_the_time_zone(shop: Shop, zone: str | None) -> None:
    everything = [details["id"] for details in shop.details]
    more = {"timezone": zone} if zone else {}
    assert found(search(shop.client, "submitTimeUtc:[NOW/DAY-7DAYS TO NOW/DAY+1DAY}", limit=2500, **more)) == everything
    assert found(search(shop.client, "submitTimeUtc:[* TO NOW/DAY-1DAY}", **more)) == []


def test_pages_follow_each_other(shop: Shop) -> None:
    everything = [details["id"] for details in shop.details]
    query = "merchantId:searched"
    pages = [search(shop.client, query, offset=offset, limit=7) for offset in range(0, len(everything), 7)]
    assert [identifier for page in pages for identifier in found(page)] == everything
    assert {page.json["totalCount"] for page in pages} == {len(everything)}
    beyond = search(shop.client, query, offset=len(everything), limit=7)
    assert (found(beyond), beyond.json["totalCount"]) == ([], len(everything))
    assert len(found(search(shop.client, query))) == 20


def test_sorts_by_several_keys(shop: Shop) -> None:
    def key(details: Json) -> tuple[object, ...]:
        amount = Decimal(details["orderInformation"]["amountDetails"]["totalAmount"])
        return amount, details["orderInformation"]["amountDetails"]["currency"].casefold()

    upward = [details["id"] for details in sorted(shop.details, key=key)]
    sort = "orderInformation.amountDetails.totalAmount:asc,orderInformation.amountDetails.currency"
    assert found(search(shop.client, "merchantId:searched", limit=2500, sort=sort)) == upward
    by_id = sorted(details["id"] for details in shop.details)
    assert found(search(shop.client, "merchantId:*", limit=2500, sort="id:asc,submitTimeUtc:asc")) == by_id
    assert found(search(shop.client, "merchantId:*", limit=5, offset=3, sort="submitTimeUtc:asc")) == by_id[3:8]


def test_a_summary_says_what_the_details_say(shop: Shop) -> None:
    reply = search(shop.client, "merchantId:searched", limit=2500)
    for summary in reply.json["_embedded"]["transactionSummaries"]:
        details = next(each for each in shop.details if each["id"] == summary["id"])
        assert summary["submitTimeUtc"] == details["submitTimeUTC"]
        outer = dict(details["applicationInformation"])
        outer.pop("status")
        assert summary["applicationInformation"] == outer
        assert summary["errorInformation"] == details["errorInformation"]
        for information, member in (
            ("orderInformation", "billTo"), ("orderInformation", "amountDetails"), ("paymentInformation", "card"),
            ("processorInformation", "processor"),
        ):  # fmt: skip
            shown = summary[information].get(member, {})
            assert shown.items() <= details[information].get(member, {}).items()


# ---- a search as a resource


def test_a_search_is_read_again_and_finds_what_is_new(service: Service) -> None:
    client = service.merchant("saves")
    made = client.pay(payment(clientReferenceInformation={"code": "again"})).id
    index(service)
    asked = {"query": "clientReferenceInformation.code:again", "name": "MRN", "timezone": "America/Chicago"}
    asked |= {"sort": "id:asc,submitTimeUtc:asc"}
    for save in (True, "true", False, "false", None):
        reply = client.post(PATH, {**asked, "offset": 0, "limit": 100} | ({"save": save} if save is not None else {}))
        document = reply.json
        assert reply.status == 201
        assert found(reply) == [made]
        assert document["save"] is (save in (True, "true"))
        assert {name: document[name] for name in asked} == asked
        assert (document["offset"], document["limit"], document["count"], document["totalCount"]) == (0, 100, 1, 1)
        again = client.call("GET", f"{PATH}/{document['searchId']}")
        assert (again.status, again.json) == (200, document)
    later = client.pay(payment(clientReferenceInformation={"code": "AGAIN"})).id
    index(service)
    again = client.call("GET", f"{PATH}/{document['searchId']}")
    assert found(again) == [made, later]


def test_what_is_not_saved_is_forgotten_after_a_day(service: Service) -> None:
    client = service.merchant("forgets")
    kept, unkept = (search(client, "id:*", save=save).json["searchId"] for save in (True, False))
    service.clock.moved = timedelta(days=2)
    indexer = service.house.worker.indexer
    try:
        service.run(indexer.forget("forgets"))
    finally:
        service.clock.moved = timedelta()
    assert client.call("GET", f"{PATH}/{kept}").status == 200
    assert client.call("GET", f"{PATH}/{unkept}").status == 404


@pytest.mark.parametrize("identifier", [str(uuid.UUID(int=0)), "x", "1" * 300, "%2e%2e", "'; DROP TABLE searches; --"])
def test_an_unknown_search_is_not_found(till: Client, identifier: str) -> None:
    path = f"{PATH}/{identifier}".replace(" ", "%20")
    assert till.call("GET", path).status == 404


def test_other_methods_are_not_known(till: Client) -> None:
    assert till.call("GET", PATH).status == 405
    assert till.post(f"{PATH}/{uuid.uuid4()}", {}).status == 405


# ---- refusals

REFUSED: Final = [
    ({}, ["query"], "MISSING_FIELD"),
    ({"query": ""}, ["query"], "MISSING_FIELD"),
    ({"query": {"a": 1}}, ["query"], "MISSING_FIELD"),
    ({"query": "x"}, ["query"], "INVALID_DATA"),
    ({"query": "orderInformation.nonsense:1"}, ["query"], "INVALID_DATA"),
    ({"query": "NOT id:1"}, ["query"], "INVALID_DATA"),
    ({"query": "submitTimeUtc:yesterday"}, ["query"], "INVALID_DATA"),
    ({"query": "orderInformation.amountDetails.totalAmount:much"}, ["query"], "INVALID_DATA"),
    ({"query": "clientReferenceInformation.code:[a TO b]"}, ["query"], "INVALID_DATA"),
    ({"query": "id:1*"}, ["query"], "INVALID_DATA"),
    ({"query": "(" * 4_000},
    ["query"], "INVALID_DATA"),
    ({"query": "(" * 60_000}, ["query"], "INVALID_DATA"),
    ({"query": "id:*", "limit": 2501}, ["limit"], "INVALID_DATA"),
    ({"query": "id:*", "limit": 0}, ["limit"], "INVALID_DATA"),
    ({"query": "id:*", "limit": "many", "offset": -1}, ["offset", "limit"], "INVALID_DATA"),
    ({"query": "id:*", "timezone": "Mars/Olympus"}, ["timezone"], "INVALID_DATA"),
    ({"query": "id:*", "timezone": "../../etc/passwd"}, ["timezone"], "INVALID_DATA"),
    ({"query": "id:*", "sort": "name:up"}, ["sort"], "INVALID_DATA"),
    ({"query": "id:*", "sort": "id:asc; DROP TABLE payments"}, ["sort"], "INVALID_DATA"),
    ({"query": "id:*", "save": "perhaps"}, ["save"], "INVALID_DATA"),
    ({"query": "id:*", "name": "x" * 300}, ["name"], "INVALID_DATA"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "paths", "reason"), REFUSED, ids=lambda value: str(value)[:40])
def test_refuses(till: Client, document: Json, paths: list[str], reason: str) -> None:
    reply = till.post(PATH, document)
    assert (reply.status, reply.json["status"]) == (400, "INVALID_REQUEST")
    assert reply.json["details"] == [{"field": path, "reason": reason} for path in paths]
    assert set(reply.json) == {"submitTimeUtc", "status", "message", "details"}


def test_a_hundred_thousand_parentheses_are_too_large(till: Client) -> None:
    assert till.post(PATH, {"query": "(" * 100_000}).status == 413


def test_a_refusal_names_the_place(till: Client) -> None:
    reply = search(till, "id:1 AND orderInformation.nonsense:1")
    assert "at character 10: orderInformation.nonsense cannot be searched" in reply.json["message"]
    assert reply.explanation is not None
    assert "at character 10" in reply.explanation
    assert till.post(PATH, []).status == 400
    assert till.call("POST", PATH, body=b"{").status == 400


@pytest.mark.parametrize("value", CODES)
def test_what_looks_like_a_statement_is_a_text(till: Client, value: str) -> None:
    for path in FIELDS:
        reply = search(till, f"{path}:{quoted(value)}")
        assert reply.status in (201, 400)


# ---- whose transactions, whose cards


def test_nothing_of_another_merchant_is_found(shop: Shop, service: Service) -> None:
    """A-24: the merchant is of the statement, whatever the query says; what is no query is a 400."""
    stranger = service.merchant("stranger")
    theirs = shop.details[0]["id"]
    for query in (f"id:{theirs}", "id:*", "merchantId:searched", "merchantId:searched OR id:*", "merchantId:*",
                  f"paymentInformation.card.number:{VISA}", "submitTimeUtc:[* TO *]",
                  "orderInformation.billTo.lastName:Suzuki"):  # fmt: skip
        assert found(search(stranger, query)) == [], query
    for query in ("id:* OR 1=1", "1=1", "id:x' OR '1'='1", "merchantId:searched'; --", "id:*) OR (merchantId:searched"):
        reply = search(stranger, query)
        assert reply.status == 400 or found(reply) == [], query
    kept = search(shop.client, "id:*", save=True).json["searchId"]
    assert stranger.call("GET", f"{PATH}/{kept}").status == 404


def test_a_card_number_is_found_and_kept_nowhere(shop: Shop, service: Service) -> None:
    reply = search(shop.client, f"paymentInformation.card.number:{VISA}", limit=2500, save=True, name=MASTERCARD)
    assert found(reply) == shop.ids(lambda details: details["paymentInformation"]["card"]["suffix"] == "1111")
    again = shop.client.call("GET", f"{PATH}/{reply.json['searchId']}")
    assert found(again) == found(reply)
    for query in (f"clientReferenceInformation.code:{VISA}", f"merchantId:{MASTERCARD}", f'id:"{VISA}"',
                  f"clientReferenceInformation.code:ab {VISA} cd",
                  f"orderInformation.billTo.phoneNumber:*{VISA}"):  # fmt: skip
        answer = search(shop.client, query, save=True)
        assert answer.status == 201
        for number in (VISA, MASTERCARD):
            assert number.encode() not in answer.body
    for number in (VISA, MASTERCARD):
        assert number.encode() not in reply.body + again.body
        assert number not in service.logs.getvalue()


@pytest.fixture(autouse=True)
def _quiet(service: Service) -> Iterator[None]:
    yield
    assert '"event":"indexing.fault"' not in service.logs.getvalue()
