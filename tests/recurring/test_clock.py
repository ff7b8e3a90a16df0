"""The sandbox's clock: business time moves, and nothing else does; never a live merchant's. Both engines."""

import asyncio
import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import kessai
from kessai.accounts import Refused
from kessai.payment.merchant import Merchant, Mode
from kessai.sandbox import NotMoved, later, move_clock
from kessai.storage.merchants import MoveClock
from tests import postgres
from tests.acceptance.client import AUTHORIZED, VISA, Service, changed, payment
from tests.commands import document, gateway, in_turn
from tests.houses import by_hand
from tests.recurring.shop import Shop, own_terms, subscription

_numbers = itertools.count(1)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def shop(service: Service) -> Shop:
    return Shop(service.merchant(f"clock_{service.port}_{next(_numbers)}"))


@pytest.mark.parametrize(
    ("step", "until"),
    [
        ("1mo", "2026-02-28T12:00:00"),
        ("2mo", "2026-03-31T12:00:00"),
        ("1y", "2027-01-31T12:00:00"),
        ("1w", "2026-02-07T12:00:00"),
        ("3d", "2026-02-03T12:00:00"),
        ("2h", "2026-01-31T14:00:00"),
        ("90m", "2026-01-31T13:30:00"),
        ("1s", "2026-01-31T12:00:01"),
        ("1mo1d12h", "2026-03-02T00:00:00"),
    ],
)
def test_steps(step: str, until: str) -> None:
    assert later(NOON, step) == datetime.fromisoformat(f"{until}+00:00")


@pytest.mark.parametrize("step", ["", "1", "mo", "1 mo", "-1d", "1x", "1d ", "999999y", "1.5d"])
def test_what_is_no_step(step: str) -> None:
    with pytest.raises(NotMoved):
        later(NOON, step)


def test_holds_lapse_cards_expire_and_answers_tell_the_merchants_time(shop: Shop) -> None:
    held = shop.till.pay(payment("50.00"))
    assert held.said == AUTHORIZED
    old = changed(payment(), {"paymentInformation.card.expirationYear": "2099"})
    assert shop.till.pay(old).said == AUTHORIZED
    before = datetime.now(UTC)
    shop.advance("200d")

    async def found() -> int:
        rows = await shop.service.house.gateway.payments.page(shop.till.merchant, 0, 100)
        return sum(tx.operation.value == "expire" for tx in rows)

    shop.service.until(found, lambda count: count == 2)
    assert shop.till.capture(held.id, "50.00").said[2] is not None
    later_on = shop.till.pay(old)
    assert later_on.said == AUTHORIZED, "signatures keep the time of the wall"
    told = datetime.fromisoformat(later_on.json["submitTimeUtc"])
    assert timedelta(days=199) < told - before < timedelta(days=201)
    assert later_on.id[:12] < str(int(before.timestamp() * 1000) + 60_000)[1:], "ids keep the time of the wall"
    shop.go_to("2100-02-01T00:00:00Z")
    assert shop.till.pay(old).said[2] == "EXPIRED_CARD"
    shop.assert_books()


def test_a_clock_goes_forward_only(shop: Shop) -> None:
    shop.advance("1d")
    bodies: tuple[object, ...] = (
        {"to": "2020-01-01T00:00:00Z"},
        {"advance": "0d"},
        {"advance": "-1d"},
        {"advance": 7},
        {},
        [],
    )
    for body in bodies:
        assert shop.till.post("/sandbox/v1/clock", body).status == 400, body
    assert shop.till.post("/sandbox/v1/clock", {"advance": "99y"}).status == 200
    assert shop.till.post("/sandbox/v1/clock", {"advance": "2y"}).status == 400
    assert shop.till.call("DELETE", "/sandbox/v1/clock").headers["allow"] == "GET, POST"
    assert shop.till.call("GET", "/sandbox/v1/other").status == 404


def test_another_merchants_clock_stays(shop: Shop) -> None:
    other = Shop(shop.service.merchant(f"clock_other_{shop.service.port}"))
    held = other.till.pay(payment("50.00"))
    shop.advance("1y")
    assert abs((other.now() - datetime.now(UTC)).total_seconds()) < 60
    assert other.till.capture(held.id, "50.00").status == 201


def test_a_live_merchants_clock_cannot_be_moved(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not over the wire, not by the command, not by the rules, not by the row."""
    name = f"live_{service.port}"
    till = service.merchant(name)
    account = service.house.accounts.get(name)
    live = Merchant(id=name, personality="sandbox", mode=Mode.LIVE)
    monkeypatch.setattr(account, "merchant", live)
    assert till.call("GET", "/sandbox/v1/clock").status == 404
    assert till.post("/sandbox/v1/clock", {"advance": "1d"}).status == 404
    now = service.house.clock()
    with pytest.raises(NotMoved, match="test merchant"):
        service.run(move_clock(service.house.database, live, now, now + timedelta(days=1)))
    with pytest.raises(NotMoved, match="test merchant"):
        service.run(service.house.clocks.move(account, advance="1d"))
    write = MoveClock(merchant_id=name, by_ms=1, most_ms=10)
    for state in ("live", "test"):
        statement = f"UPDATE merchants SET mode = '{state}' WHERE id = '{name}'"
        if service.database:
            service.run(postgres.execute(service.database, statement))
        else:
            service.run(by_hand(service.house, statement))
        assert service.run(service.house.database.write(write)) == (1 if state == "test" else None)


def test_a_merchant_whose_clock_was_moved_does_not_become_live(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.advance("1d")
    monkeypatch.setattr("kessai.accounts._refuse_live_on_simulator", lambda mode, kind: None)
    with pytest.raises(Refused, match="ahead of time"):
        shop.service.run(shop.service.house.accounts.set(shop.till.merchant, {"mode": "live"}))


def test_only_the_sandbox_moves_a_clock() -> None:
    source = Path(kessai.__file__).parent
    named = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if re.search(r"\bMoveClock\b", path.read_text("utf-8"))
    }
    assert named == {"sandbox.py", "storage/merchants.py", "storage/together.py"}


def test_a_clock_stays_where_it_was_put_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with gateway(folder):
        moved = document(folder, "clock", "advance", "1mo")
        assert moved["aheadSeconds"] > 27 * 86_400
    lines = (
        ("clock", "show", "--json"),
        ("clock", "show", "--merchant", "kessai_vpc", "--json"),
        ("clock", "advance", "--to", "2020-01-01T00:00:00Z"),
        ("clock", "advance"),
    )
    shown, other, back, neither = in_turn(folder, lines)
    assert json.loads(shown[1]) | {"now": ""} == moved | {"now": ""}
    assert json.loads(other[1])["aheadSeconds"] == 0
    assert (back[0], back[2]) == (1, "kessai: a clock moves forward only.\n")
    assert neither[0] == 1


def test_every_process_sees_a_moved_clock_soon_and_two_of_them_charge_a_year_once(tmp_path: Path) -> None:
    """Two workers on one PostgreSQL, customers and subscriptions over the wire, a year in one step."""
    url = postgres.fresh()
    with gateway(tmp_path / "data", "--workers", "2", "--database", url) as team:

        def made(path: str, body: object) -> str:
            status, answer = team.ask("POST", path, body)
            assert status in (200, 201), answer
            return str(answer["id"])

        customer = made("/tms/v2/customers", {"buyerInformation": {"merchantCustomerID": "1"}})
        card = {
            "card": {"expirationMonth": "12", "expirationYear": "2099", "type": "001"},
            "instrumentIdentifier": {"card": {"number": VISA}},
        }
        made(f"/tms/v2/customers/{customer}/payment-instruments", card)
        today = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        subscribed = [
            made("/rbs/v1/subscriptions", subscription(customer, today, **own_terms(f"{amount}.00")))
            for amount in range(10, 14)
        ]
        assert team.ask("POST", "/sandbox/v1/clock", {"advance": "1y"})[0] == 200
        deadline = datetime.now(UTC) + timedelta(seconds=20)
        while {team.ask("GET", "/sandbox/v1/clock")[1]["aheadSeconds"] > 0 for _ in range(12)} != {True}:
            assert datetime.now(UTC) < deadline
        wanted = [(cycle, "PAID") for cycle in range(1, 13)]
        deadline = datetime.now(UTC) + timedelta(seconds=60)
        for identifier in subscribed:
            path = f"/rbs/v1/subscriptions/{identifier}/payments?limit=100&scheduledPaymentsCount=0"

            def told(path: str = path) -> list[tuple[int, str]]:
                return [
                    (each["billingCycle"], each["status"]) for each in team.ask("GET", path)[1]["subscriptionPayment"]
                ]

            while told() != wanted:
                assert datetime.now(UTC) < deadline, told()
    (row,) = asyncio.run(postgres.rows(url, "SELECT count(*) FROM transactions WHERE operation = 'sale'"))
    assert tuple(row) == (4 * 12,)
