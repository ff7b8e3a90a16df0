"""What the tests of recurring billing sell: customers with cards, plans, subscriptions, and a clock to move."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from kessai import books
from kessai.app import House
from kessai.payment.card import Pan
from kessai.storage.payments import Answer
from kessai.tokenizer import Decided
from kessai.tokens.rules import Changes, add
from tests.acceptance.client import VISA, Client, Json, Reply, changed

NAME: Final = {"billTo": {"firstName": "Hanako", "lastName": "Suzuki"}}


async def file_customer(house: House, merchant_id: str, number: str = VISA, expiry: str = "2099-12") -> str:
    """The id of a new customer whose default card this is."""
    tokenizer = house.tokenizer
    customer = tokenizer.new_customer({})

    async def decide() -> Decided:
        instrument, is_new = await tokenizer.instrument_of(merchant_id, Pan(number), {})
        _, with_card = add(
            tokenizer.new_payment_instrument(customer, instrument, NAME, expiry=expiry),
            customer,
            None,
            None if is_new else instrument,
        )
        made = Changes((customer, instrument) if is_new else (customer,))
        return Decided(made.also(with_card), Answer(201, b"{}"))

    assert isinstance(await tokenizer.perform(merchant_id, decide), Answer)
    return customer.id


async def recard(house: House, merchant_id: str, customer_id: str, number: str) -> None:
    """Give a customer another card as its default."""
    tokenizer = house.tokenizer
    customer = await tokenizer.tokens.customer(merchant_id, customer_id)
    before, _ = await tokenizer.tokens.defaults(merchant_id, customer_id)
    instrument, is_new = await tokenizer.instrument_of(merchant_id, Pan(number), {})
    assert not isinstance(customer, type(None))

    async def decide() -> Decided:
        new = tokenizer.new_payment_instrument(customer, instrument, NAME, expiry="2099-12", is_default=True)  # type: ignore[arg-type]
        _, with_card = add(new, customer, before, None if is_new else instrument)  # type: ignore[arg-type]
        made = Changes((instrument,) if is_new else ())
        return Decided(made.also(with_card), Answer(201, b"{}"))

    assert isinstance(await tokenizer.perform(merchant_id, decide), Answer)


def plan(name: str = "Gold Plan", amount: str = "10.00", **changes: object) -> Json:
    """A plan in twelve monthly cycles. `changes` are paths with `__` for the dot."""
    document: Json = {
        "planInformation": {
            "name": name,
            "billingPeriod": {"length": "1", "unit": "M"},
            "billingCycles": {"total": "12"},
        },
        "orderInformation": {"amountDetails": {"currency": "USD", "billingAmount": amount}},
    }
    return changed(document, {path.replace("__", "."): value for path, value in changes.items()})


def subscription(customer: str, starts: str, **changes: object) -> Json:
    document: Json = {
        "clientReferenceInformation": {"code": "TC501713"},
        "processingInformation": {
            "commerceIndicator": "recurring",
            "authorizationOptions": {"initiator": {"type": "merchant"}},
        },
        "subscriptionInformation": {"name": "Monthly box", "startDate": starts},
        "paymentInformation": {"customer": {"id": customer}},
    }
    return changed(document, {path.replace("__", "."): value for path, value in changes.items()})


def own_terms(amount: str = "10.00", unit: str = "M", cycles: str | None = "12") -> Json:
    """Members for `subscription` without a plan."""
    terms: Json = {
        "planInformation__billingPeriod": {"length": "1", "unit": unit},
        "orderInformation__amountDetails": {"currency": "USD", "billingAmount": amount},
    }
    return terms | ({"planInformation__billingCycles": {"total": cycles}} if cycles else {})


class Shop:
    """A merchant of its own with a client."""

    def __init__(self, till: Client) -> None:
        self.till = till
        self.service = till.service

    def customer(self, number: str = VISA, expiry: str = "2099-12") -> str:
        return self.service.run(file_customer(self.service.house, self.till.merchant, number, expiry))

    def recard(self, customer: str, number: str) -> None:
        self.service.run(recard(self.service.house, self.till.merchant, customer, number))

    def now(self) -> datetime:
        told = self.till.call("GET", "/sandbox/v1/clock").json["now"]
        return datetime.strptime(told, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)

    def today(self) -> str:
        return f"{self.now():%Y-%m-%dT%H:%M:%SZ}"

    def advance(self, step: str) -> None:
        moved = self.till.post("/sandbox/v1/clock", {"advance": step})
        assert moved.status == 200, moved.body

    def go_to(self, instant: str) -> None:
        moved = self.till.post("/sandbox/v1/clock", {"to": instant})
        assert moved.status == 200, moved.body

    def on_the_tenth(self) -> "Shop":
        """Business on the tenth of a January to come: from there two steps of a month are two months.

        From the 31st they are not: the first ends on the last day of a shorter month, and the second goes on from that.
        """
        self.go_to(f"{self.now().year + 1}-01-10T10:00:00Z")
        return self

    def plan(self, document: Json) -> str:
        made = self.till.post("/rbs/v1/plans", document)
        assert made.status == 201, made.body
        return made.id

    def subscribe(self, document: Json, **headers: str) -> Reply:
        return self.till.post("/rbs/v1/subscriptions", document, **headers)

    def read(self, identifier: str) -> Json:
        reply = self.till.call("GET", f"/rbs/v1/subscriptions/{identifier}")
        assert reply.status == 200, reply.body
        return reply.json

    def state(self, identifier: str) -> str:
        return str(self.read(identifier)["subscriptionInformation"]["status"])

    def payments(self, identifier: str, scheduled: int = 0) -> list[Json]:
        path = f"/rbs/v1/subscriptions/{identifier}/payments?limit=100&scheduledPaymentsCount={scheduled}"
        reply = self.till.call("GET", path)
        assert reply.status == 200, reply.body
        found = reply.json["subscriptionPayment"]
        assert isinstance(found, list)
        return found

    def told(self, identifier: str) -> list[tuple[int, str]]:
        """Cycle and status of every charge."""
        return [(each["billingCycle"], each["status"]) for each in self.payments(identifier)]

    def until(self, identifier: str, holds: Callable[[list[tuple[int, str]]], bool]) -> list[tuple[int, str]]:
        """Wait until the charges are as they must become."""

        async def nothing() -> None:
            return None

        found: list[tuple[int, str]] = []

        def look(_: None) -> bool:
            found[:] = self.told(identifier)
            return holds(found)

        self.service.until(nothing, look)
        return found

    def assert_books(self) -> None:
        """The books are as they should be. A moved clock cuts settlements meanwhile, so it is looked at again."""
        database = self.service.house.database
        report = self.service.run(books.confirmed(lambda: books.check(database)))
        assert report.findings == ()

    def until_paid(self, identifier: str, periods: int) -> None:
        """Wait until the first so many periods are paid, each at the first try."""
        wanted = [(period, "PAID") for period in range(1, periods + 1)]
        self.until(identifier, lambda told: told == wanted)
