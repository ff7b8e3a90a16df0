"""Accounts: merchants are added once, changed within bounds, and never live on a simulator."""

import asyncio
from pathlib import Path

import pytest

from kessai import admin
from kessai.accounts import Accounts, Refused
from kessai.payment.lifecycle import Status
from tests.houses import Till, opened

IMPOSSIBLE = [
    ("authorization_days", "99999999999"),
    ("authorization_days", "-1"),
    ("return_days", "3651"),
    ("unique_transaction_id_days", "9999999"),
    ("unique_reference_minutes", "-5"),
    ("cutoff", "23:00:00"),
    ("cutoff", "T23:00"),
    ("cutoff", "24:00"),
    ("time_zone", "Asia/Atlantis"),
    ("over_capture", "perhaps"),
    ("partial_reversal", "maybe"),
    ("issuer", "nobody"),
    ("options.counts", "[0, -1]"),
    ("options.months_ahead", "-3"),
    ("options.nonsense", "1"),
    ("nonsense", "1"),
    ("mode", "live"),
    ("mode", "dead"),
]


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_a_setting_that_cannot_be_is_refused_and_changes_nothing(tmp_path: Path, name: str, value: str) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            before = house.accounts.get("kessai_sandbox").merchant
            with pytest.raises(Refused):
                await house.accounts.set("kessai_sandbox", {name: value})
            assert house.accounts.get("kessai_sandbox").merchant == before
            assert (await Till(house).authorize()).status is Status.APPROVED

    asyncio.run(main())


def test_an_empty_value_is_the_default_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            before = house.accounts.get("kessai_smcc").merchant
            await house.accounts.set("kessai_smcc", {"options.counts": "[3, 6]", "over_capture": "allow"})
            changed = house.accounts.get("kessai_smcc").merchant.terms
            assert (changed.options.counts, changed.over_capture) == ((3, 6), "allow")
            shown = await house.accounts.set("kessai_smcc", {"options.counts": "", "over_capture": ""})
            assert shown["settings"] == {}
            assert house.accounts.get("kessai_smcc").merchant == before

    asyncio.run(main())


def test_a_merchant_added_twice_at_once_is_added_once_and_works(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            arguments = {"merchant": "shop", "personality": "vpc"}
            answers = await asyncio.gather(*(admin.carry_out(house, "merchant add", arguments) for _ in range(5)))
            assert sum("result" in answer for answer in answers) == 1
            assert (await Till(house, "shop").authorize()).status is Status.APPROVED

    asyncio.run(main())


@pytest.mark.parametrize(
    ("order", "arguments"),
    [
        (None, {}),
        ([], {}),
        ("nonsense", {}),
        ("merchant set", None),
        ("merchant set", {}),
        ("merchant set", {"merchant": "kessai_vpc", "settings": 5}),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_an_answer(
    tmp_path: Path, order: object, arguments: object
) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            assert "refused" in await admin.carry_out(house, order, arguments)

    asyncio.run(main())


def test_what_another_process_changed_is_read_again_once(tmp_path: Path) -> None:
    """Merchants, keys and terms that came in by another hand; nothing is read where nothing was changed."""

    async def scene() -> None:
        async with opened(tmp_path) as house:
            other = Accounts(house.database, house.gateway.vault)
            await other.load()
            assert not await other.refresh()
            made = await house.accounts.add("late", "vpc", house.clock())
            assert other.find("late") is None
            assert await other.refresh()
            assert list(other.get("late").keys) == [made["key_id"]]
            await house.accounts.set("late", {"cutoff": "18:30"})
            await house.accounts.revoke_key("late", str(made["key_id"]), house.clock())
            assert await other.refresh()
            assert other.get("late").keys == {}
            assert other.get("late").merchant.terms.cutoff == "18:30"
            assert not await other.refresh()

    asyncio.run(scene())
