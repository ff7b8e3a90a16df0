"""Accounts: merchants are added once, changed within bounds, and never live on a simulator."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kessai import admin
from kessai.accounts import MOST_RACES, Accounts, Refused
from kessai.payment.lifecycle import Status
from kessai.storage.merchants import MerchantRow, Merchants, SetMerchant
from tests import postgres
from tests.commands import document, done
from tests.conftest import on_both_engines
from tests.houses import Till, opened

IMPOSSIBLE = [
    ("authorization_days", "99999999999"),
    ("authorization_days", "-1"),
    ("return_days", "3651"),
    ("unique_transaction_id_days", "9999999"),
    ("unique_reference_minutes", "-5"),
    ("requests_per_s", "0"),
    ("requests_burst", "0"),
    ("rate_limit", "sometimes"),
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
            assert shown["settings"] == {"legal_name": before.terms.legal_name}
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


CHANGES = [
    {"cutoff": "18:30"},
    {"over_capture": "allow"},
    {"options.counts": "[3, 6]"},
    {"options.months_ahead": "3"},
    {"authorization_days": "7"},
    {"return_days": "90"},
]


@on_both_engines
def test_changes_of_a_merchant_at_once_by_several_processes_are_all_kept(tmp_path: Path) -> None:
    """Whoever finds that the merchant has changed since it was read begins again with what is there now."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            hands = [Accounts(house.database, house.gateway.vault) for _ in CHANGES]
            for each in hands:
                await each.load()
            changes = zip(hands, CHANGES, strict=True)
            await asyncio.gather(*(each.set("kessai_smcc", change) for each, change in changes))
            await house.accounts.refresh()
            terms = house.accounts.get("kessai_smcc").merchant.terms
            assert (terms.cutoff, terms.over_capture) == ("18:30", "allow")
            assert (terms.options.counts, terms.options.months_ahead) == ((3, 6), 3)
            assert (terms.authorization_days, terms.return_days) == (7, 90)

    asyncio.run(main())


@on_both_engines
def test_a_merchant_that_never_stands_still_is_not_changed_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            find, tries = Merchants.find, 0

            async def overtaken(rows: Merchants, merchant_id: str) -> MerchantRow | None:
                nonlocal tries
                tries += 1
                seen = await find(rows, merchant_id)
                assert seen is not None
                terms = f'{{"return_days":{tries}}}'
                assert await house.database.write(SetMerchant(seen, seen.mode, terms))
                return seen

            monkeypatch.setattr(Merchants, "find", overtaken)
            with pytest.raises(Refused, match="is being changed by others"):
                await house.accounts.set("kessai_vpc", {"cutoff": "18:30"})
            assert tries == MOST_RACES
            monkeypatch.undo()
            await house.accounts.set("kessai_vpc", {"cutoff": "18:30"})
            terms = house.accounts.get("kessai_vpc").merchant.terms
            assert (terms.cutoff, terms.return_days) == ("18:30", tries)

    asyncio.run(main())


def test_two_commands_at_once_on_one_database_are_both_kept(tmp_path: Path) -> None:
    """Two processes of their own, with nothing between them but PostgreSQL."""
    url, data = postgres.fresh(), tmp_path / "data"
    document(data, "merchant", "add", "shop", "--personality", "vpc", "--database", url)
    with ThreadPoolExecutor(2) as threads:
        for round_ in range(2):
            orders = [f"return_days={90 + round_}", f"authorization_days={7 + round_}"]
            line = ("merchant", "set", "shop")
            told = list(threads.map(lambda order, line=line: done(data, *line, order, "--database", url), orders))
            assert len(told) == 2
            (shown,) = [each for each in document(data, "merchant", "list", "--database", url) if each["id"] == "shop"]
            assert shown["settings"] == {"return_days": 90 + round_, "authorization_days": 7 + round_}
