"""Other people's tokens, plans, subscriptions and searches: at every route, in every place of a path or body, another's
id is answered as one of the same form that nobody was ever given. T-20, A-20."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from kessai.dialects.cybersource import recurring, searches, token_routes
from kessai.dialects.cybersource.token_routes import Kind
from tests.acceptance.client import UNKNOWN, Client, Json, Reply, Service, payment
from tests.attacks.harm import is_refused, nothing_moves
from tests.recurring.shop import Shop, own_terms, plan, subscription

CUSTOMERS, LONE, NUMBERS = "/tms/v2/customers", "/tms/v1/paymentinstruments", "/tms/v1/instrumentidentifiers"
PLANS, SUBSCRIPTIONS, SEARCHES = "/rbs/v1/plans", "/rbs/v1/subscriptions", searches.PATH
OPAQUE, CARDS, UUID = "F" * 32, "7010000000000001111", "00000000-0000-4000-8000-000000000000"
NOBODYS: Final[Mapping[int, str]] = {len(each): each for each in (OPAQUE, CARDS, UUID, UNKNOWN)}
"""Ids that nobody was given, by their length."""
ADDRESS: Final[Json] = {"shipTo": {"country": "JP"}}


class Estate:
    """One thing of each kind that a merchant can have, by kind."""

    def __init__(self, till: Client) -> None:
        self.till = till
        self.customer = self._made(CUSTOMERS, {})
        self.number = self._made(NUMBERS, {"card": {"number": "4917610000000000"}})
        account = {"bankAccount": {"number": "27182818284590459", "routingNumber": "071923284"}}
        self.account = self._made(NUMBERS, account)
        self.card = self._made(f"{CUSTOMERS}/{self.customer}/payment-instruments", self.card_over(self.number))
        self.address = self._made(f"{CUSTOMERS}/{self.customer}/shipping-addresses", ADDRESS)
        self.lone = self._made(LONE, self.card_over(self.number))
        shop = Shop(till)
        self.plan = self._made(PLANS, plan())
        self.subscription = self._made(
            SUBSCRIPTIONS, subscription(shop.customer(), "2099-01-01T00:00:00Z", **own_terms())
        )
        self.payment = till.approved(till.pay(payment()))
        self.search = self._searched()
        self.before = self.shown()

    def _made(self, path: str, document: Json) -> str:
        reply = self.till.post(path, document)
        assert reply.status in (200, 201), reply.body
        return reply.id

    def _searched(self) -> str:
        found: str = self.till.post(SEARCHES, {"query": "id:*", "save": True}).json["searchId"]
        return found

    @staticmethod
    def card_over(number: str) -> Json:
        about = {"expirationMonth": "12", "expirationYear": "2031", "type": "001"}
        return {"card": about, "instrumentIdentifier": {"id": number}}

    def shown(self) -> dict[str, tuple[int, str, str | None]]:
        """What its owner is told of each thing."""
        own = f"{CUSTOMERS}/{self.customer}"
        paths = (
            own,
            f"{own}/payment-instruments/{self.card}",
            f"{own}/shipping-addresses/{self.address}",
            f"{LONE}/{self.lone}",
            f"{NUMBERS}/{self.number}",
            f"{NUMBERS}/{self.account}",
            f"{PLANS}/{self.plan}",
            f"{SUBSCRIPTIONS}/{self.subscription}",
            f"/tss/v2/transactions/{self.payment}",
        )
        return {path: said(self.till.call("GET", path)) for path in paths}

    def ids(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if isinstance(value, str)}


@pytest.fixture(scope="module")
def theirs(service: Service) -> Estate:
    return Estate(service.merchant("crossed"))


@pytest.fixture(scope="module")
def ours(service: Service) -> Estate:
    return Estate(service.merchant("crosser"))


def said(reply: Reply, *ids: str) -> tuple[int, str, str | None]:
    """An answer without the ids that were asked for, and what is new in every answer."""
    body = reply.body.decode()
    for each in ids:
        body = body.replace(each, "<id>")
    try:
        document = json.loads(body)
    except ValueError:
        document = body
    if isinstance(document, dict):
        document = {name: value for name, value in document.items() if name not in ("id", "submitTimeUtc")}
    return reply.status, json.dumps(document), reply.explanation


def like(identifier: str) -> str:
    """An id of the same form that nobody has."""
    return NOBODYS[len(identifier)]


DOCUMENTS: Final[Mapping[Kind, Json]] = {
    Kind.CHANGE_CUSTOMER: {"buyerInformation": {"email": "thief@example.com"}},
    Kind.CREATE_ADDRESS: ADDRESS,
    Kind.CHANGE_ADDRESS: ADDRESS | {"default": True},
    Kind.CHANGE_INSTRUMENT: {"default": True},
    Kind.CHANGE_IDENTIFIER: {
        "processingInformation": {
            "authorizationOptions": {
                "initiator": {"merchantInitiatedTransaction": {"previousTransactionId": "123456789012345"}}
            }
        }
    },
}
_TOKENS: Final = [row for row in token_routes.ROUTES if "{" in row.path]


def paths(row: token_routes.Row, ours: Estate, theirs: Estate) -> Iterator[tuple[str, str]]:
    """A path with an id of theirs in it, and the same path with an id that nobody has, for each way to mix them."""
    own = {"{customer}": ours.customer, "{id}": ours.address if "shipping" in row.path else ours.card}
    holes = [hole for hole in ("{customer}", "{id}") if hole in row.path]
    foreign = {hole: [own[hole], *theirs.ids().values()] for hole in holes}
    for chosen in itertools.product(*(foreign[hole] for hole in holes)):
        if all(identifier == own[hole] for hole, identifier in zip(holes, chosen, strict=True)):
            continue
        path = nobodys = row.path.replace("{provider}", "vts").replace("{asset}", "card-icon")
        for hole, identifier in zip(holes, chosen, strict=True):
            path = path.replace(hole, identifier)
            nobodys = nobodys.replace(hole, identifier if identifier == own[hole] else like(identifier))
        yield path, nobodys


@pytest.mark.parametrize("row", _TOKENS, ids=lambda row: f"{row.method} {row.path}")
def test_anothers_tokens_are_unknown_at_every_route(
    service: Service, ours: Estate, theirs: Estate, row: token_routes.Row
) -> None:
    document: Json | None = None
    if row.method in ("POST", "PATCH"):
        document = DOCUMENTS.get(row.kind) or Estate.card_over(ours.number)
    ids = (*theirs.ids().values(), *NOBODYS.values())
    told: dict[str, Reply] = {}
    with nothing_moves(service, "request.refused"):
        for path, nobodys in paths(row, ours, theirs):
            if nobodys not in told:
                told[nobodys] = ours.till.call(row.method, nobodys, document)
                is_refused(told[nobodys], 400, 404)
            assert said(ours.till.call(row.method, path, document), *ids) == said(told[nobodys], *ids), path


@pytest.mark.parametrize(
    ("method", "path"),
    [(method, path) for method, path, _, _ in recurring.ROUTES if "{id}" in path] + [("GET", SEARCHES + "/{id}")],
)
def test_anothers_plans_subscriptions_and_searches_are_unknown_at_every_route(
    service: Service, ours: Estate, theirs: Estate, method: str, path: str
) -> None:
    bodies: dict[tuple[str, str], Json] = {
        ("PATCH", PLANS + "/{id}"): {"planInformation": {"name": "stolen"}},
        ("PATCH", SUBSCRIPTIONS + "/{id}"): {"subscriptionInformation": {"name": "stolen"}},
        ("PUT", SUBSCRIPTIONS + "/{id}/payments"): {"billingCyclesToSkip": [1]},
        ("POST", SUBSCRIPTIONS + "/follow-ons/{id}"): subscription("", "2099-01-01T00:00:00Z", **own_terms()),
    }
    document = bodies.get((method, path), {} if method == "POST" else None)
    ids = (*theirs.ids().values(), *NOBODYS.values())
    with nothing_moves(service, "request.refused"):
        for kind, identifier in theirs.ids().items():
            nobodys = ours.till.call(method, path.replace("{id}", like(identifier)), document)
            is_refused(nobodys, 400, 404)
            reply = ours.till.call(method, path.replace("{id}", identifier), document)
            assert said(reply, *ids) == said(nobodys, *ids), kind


def bodies(ours: Estate) -> dict[str, tuple[str, str, Json]]:
    """Requests that name something in their body: where `<id>` stands."""
    own = f"{CUSTOMERS}/{ours.customer}"
    starts = "2099-01-01T00:00:00Z"
    with_plan: Json = {"subscriptionInformation": {"planId": "<id>", "name": "x", "startDate": starts}}
    shop = subscription(ours.customer, starts)
    return {
        "a card over a number": ("POST", f"{own}/payment-instruments", Estate.card_over("<id>")),
        "a lone card over a number": ("POST", LONE, Estate.card_over("<id>")),
        "a card's other number": (
            "PATCH",
            f"{own}/payment-instruments/{ours.card}",
            {"instrumentIdentifier": {"id": "<id>"}},
        ),
        "a default card": ("PATCH", own, {"defaultPaymentInstrument": {"id": "<id>"}}),
        "a default address": ("PATCH", own, {"defaultShippingAddress": {"id": "<id>"}}),
        "a subscription of a customer": ("POST", SUBSCRIPTIONS, subscription("<id>", starts, **own_terms())),
        "a subscription to a plan": ("POST", SUBSCRIPTIONS, shop | with_plan),
    }


@pytest.mark.parametrize(
    "name",
    [
        "a card over a number",
        "a lone card over a number",
        "a card's other number",
        "a default card",
        "a default address",
        "a subscription of a customer",
        "a subscription to a plan",
    ],
)
def test_anothers_id_in_a_body_is_unknown(service: Service, ours: Estate, theirs: Estate, name: str) -> None:
    method, path, document = bodies(ours)[name]
    ids = (*theirs.ids().values(), *NOBODYS.values())

    def ask(identifier: str) -> Reply:
        return ours.till.call(method, path, json.loads(json.dumps(document).replace("<id>", identifier)))

    with nothing_moves(service, "request.refused"):
        for kind, identifier in theirs.ids().items():
            nobodys = ask(like(identifier))
            is_refused(nobodys, 400, 404, 409)
            assert said(ask(identifier), *ids) == said(nobodys, *ids), kind


def test_lists_and_searches_show_ones_own_alone(service: Service, ours: Estate, theirs: Estate) -> None:
    service.run(service.house.worker.indexer.round(behind_s=0))
    shown = [ours.till.call("GET", path) for path in (PLANS, SUBSCRIPTIONS, f"{SUBSCRIPTIONS}?customerId=x")]
    shown += [ours.till.call("GET", f"{NUMBERS}/{ours.number}/paymentinstruments")]
    queries = ("id:*", f"id:{theirs.payment}", f"id:{theirs.payment} OR id:{ours.payment}", "merchantId:crossed")
    shown += [ours.till.post(SEARCHES, {"query": query}) for query in queries]
    everything = "".join(reply.body.decode() for reply in shown)
    for identifier in (ours.plan, ours.subscription, ours.card, ours.lone, ours.payment):
        assert identifier in everything
    said_of_theirs = everything.replace(queries[1], "").replace(queries[2], "")
    assert [kind for kind, identifier in theirs.ids().items() if identifier in said_of_theirs] == []


def test_nothing_of_theirs_was_changed_by_all_of_that(ours: Estate, theirs: Estate) -> None:
    """And the test of the test: to its owner everything is there."""
    assert {status for status, _, _ in theirs.before.values()} == {200}
    assert theirs.shown() == theirs.before
    assert ours.shown() == ours.before
    assert theirs.till.call("GET", f"{SEARCHES}/{theirs.search}").status == 200
