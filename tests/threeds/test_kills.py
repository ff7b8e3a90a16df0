"""A gateway that is killed between a challenge and its payment: it is paid once or not at all, and the payer told."""

import asyncio
import io
from pathlib import Path
from typing import Final

import httpx
import pytest

from kessai.client import PaymentOptions
from kessai.payment.lifecycle import Status
from tests import postgres
from tests.acceptance.client import Service
from tests.acceptance.conftest import serving
from tests.acceptance.options import Shop, shop_of
from tests.conftest import ENGINES
from tests.destruction.served import Served
from tests.threeds.shop import RIGHT, Page, later
from tests.threeds.test_paymentoptions import (
    NG,
    OK,
    answered,
    buy,
    ends_at,
    latest,
    opened,
    sent_away,
    tend,
)

PLACES: Final = {
    "before the payment": ("from kessai.s2s.paying import Paying as Place", "go_on"),
    "between its commits": ("from kessai.gateway import Gateway as Place", "_conclude"),
    "after it": ("from kessai.dialects.paymentoptions import answers as Place", "is_success"),
}
"""Where the process dies: just before it would have called this."""
DIES: Final = """
import os, signal
{place}
def dies(*_):
    os.kill(os.getpid(), signal.SIGKILL)
Place.{name} = dies
"""


async def killed(folder: Path, url: str, plant: str, shop: Shop) -> Page:
    """A challenge as the payer of a gateway has it that is killed by his answer."""
    served = Served(folder, database=url, plant=plant)
    try:
        await served.start()

        def answer() -> Page:
            with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", timeout=20) as http:
                shop.service.http = http
                shop.client = PaymentOptions(http, shop.merchant, **shop.keys)
                page = opened(shop, sent_away(buy(shop)))
                with pytest.raises(httpx.HTTPError):
                    answered(shop, page, RIGHT)
                return page

        page = await asyncio.to_thread(answer)
        await served.gone()
        return page
    finally:
        await served.stop()


def given_up(service: Service, mine: Shop, page: Page) -> None:
    """Wait until the killed gateway's lease has ended, and what it had begun is given up; the payer waits too."""
    if service.database:
        assert 'http-equiv="refresh"' in answered(mine, page, RIGHT).text
        lapse = "UPDATE nodes SET until = 1 WHERE lease IN (SELECT lease FROM transactions WHERE status = 'pending')"
        asyncio.run(postgres.execute(service.database, lapse))

    async def root() -> Status:
        rows = service.house.gateway.payments
        [first, *_] = await rows.page(mine.merchant, 0, 1)
        return first.status

    service.until(root, lambda status: status is not Status.PENDING)


def again(service: Service, page: Page, *, comes_back: bool) -> str:
    """Where the payer of a killed gateway gets to, of the next one."""
    mine = Shop(service, "po_killed")
    if not comes_back:
        with later(service, minutes=3):
            tend(mine)
    place = ends_at(answered(mine, page, RIGHT))
    with later(service, minutes=6):
        tend(mine)
    assert ends_at(answered(mine, page, RIGHT)) == place
    return place


CASES: Final = [
    *((engine, place, True) for engine in ENGINES for place in PLACES),
    *(("sqlite", place, False) for place in PLACES),
]


@pytest.mark.parametrize(("engine", "place", "comes_back"), CASES)
def test_a_killed_gateway_is_paid_once(tmp_path: Path, engine: str, place: str, comes_back: bool) -> None:
    url, folder = postgres.fresh() if engine == "postgresql" else "", tmp_path / "data"
    folder.mkdir()
    with serving(folder, url, io.StringIO()) as service:
        shop = shop_of(service, "po_killed")
    where, name = PLACES[place]
    page = asyncio.run(killed(folder, url, DIES.format(place=where, name=name), shop))
    with serving(folder, url, io.StringIO()) as service:
        mine = Shop(service, "po_killed")
        if place == "between its commits":
            given_up(service, mine, page)
        went = again(service, page, comes_back=comes_back)
        service.until_quiet()
        payment = latest(mine)
        assert service.run(service.house.gateway.payments.newest_id(mine.merchant)) == payment.transactions[-1].id
        assert payment.root.requested.minor == 1000
        if place == "between its commits":
            assert (went, payment.released) == (NG, 1000), "nobody knows its outcome, so it is undone"
        else:
            assert (went, payment.captured, len(payment.transactions)) == (OK, 1000, 1)
        if place == "before the payment":
            assert ("cvn-sent" in payment.root.flags) is comes_back, "the code is with the payer"
        roots = service.run(service.house.gateway.payments.page(mine.merchant, 0, 100))
        assert len({each.payment_id for each in roots}) == 1
        service.assert_books()
