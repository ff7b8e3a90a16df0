"""Keys that requests bear: of a live merchant hashes are kept, of a test merchant the secrets, sealed (R-53)."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kessai.accounts import BEARER, Refused
from kessai.acquirers.simulator.personalities import PERSONALITIES
from kessai.app import House
from kessai.dialects.paymentoptions.auth import hash_of
from kessai.payment.merchant import Mode
from tests.conftest import on_both_engines
from tests.houses import opened
from tests.test_rotation import turn

pytestmark = on_both_engines

Pair = Mapping[str, object]


@pytest.fixture(autouse=True)
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    """A personality that is no simulator's, which a live merchant may have."""
    personality = replace(PERSONALITIES["vpc"], name="real", simulated=False)
    monkeypatch.setitem(PERSONALITIES, "real", personality)


async def kept(house: House, merchant: str) -> list[bytes]:
    """What stands behind the seals of a merchant's rows."""
    rows = await house.database.read("merchant_keys", {"merchant_id": merchant})
    return [
        house.vault.open_secret(merchant, row[0], "shared_secret", bytes(row[2])) for row in rows if row[1] == BEARER
    ]


def are_let_in(house: House, pair: Pair, merchant: str) -> bool:
    found = [house.accounts.of_bearer(hash_of(str(pair[name]).encode())) for name in ("api_key", "x_api_key")]
    return all(each is not None and each[0].merchant.id == merchant for each in found)


def has_secret(contents: list[bytes], *pairs: Pair) -> bool:
    return any(str(pair[name]).encode() in content for content in contents for pair in pairs for name in NAMES)


NAMES = ("api_key", "x_api_key")


def test_of_a_live_merchants_keys_hashes_are_kept(tmp_path: Path) -> None:
    """Shown once, several at a time, good after a restart, revoked one by one."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            first = await house.accounts.add("shop", "real", house.clock(), mode="live", legal_name="青空")
            second = await house.accounts.add_bearer("shop", house.clock())
            contents = await kept(house, "shop")
            assert len(contents) == 2
            assert not has_secret(contents, first, second)
            with pytest.raises(Refused, match="only hashes are kept"):
                await house.accounts.bearer("shop")
        async with opened(tmp_path, works=False) as house:
            assert are_let_in(house, first, "shop")
            assert are_let_in(house, second, "shop")
            await house.accounts.revoke_key("shop", str(first["paymentoptions_key_id"]), house.clock())
            assert not are_let_in(house, first, "shop")
            assert are_let_in(house, second, "shop")

    asyncio.run(main())


def test_who_goes_live_keeps_its_keys_and_we_their_hashes(tmp_path: Path) -> None:
    """The same pairs are good afterwards, and stay hashes when it is a test merchant again."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            first = await house.accounts.add("shop", "real", house.clock(), legal_name="青空")
            second = await house.accounts.add_bearer("shop", house.clock())
            await house.accounts.revoke_key("shop", str(first["paymentoptions_key_id"]), house.clock())
            assert has_secret(await kept(house, "shop"), first)
            assert (await house.accounts.bearer("shop")).api_key == second["api_key"]
            await house.accounts.set("shop", {"mode": "live"})
            assert house.accounts.get("shop").merchant.mode is Mode.LIVE
            assert not has_secret(await kept(house, "shop"), first, second), "of a revoked one too"
            assert are_let_in(house, second, "shop")
            assert not are_let_in(house, first, "shop")
            await house.accounts.set("shop", {"mode": "test"})
        async with opened(tmp_path, works=False) as house:
            assert are_let_in(house, second, "shop")
            assert not has_secret(await kept(house, "shop"), first, second)
            third = await house.accounts.add_bearer("shop", house.clock())
            assert (await house.accounts.bearer("shop")).api_key == third["api_key"]

    asyncio.run(main())


def test_hashes_are_sealed_anew_with_the_rest(tmp_path: Path) -> None:
    """A key of the vault that turns takes them along."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            pair = await house.accounts.add("shop", "real", house.clock(), mode="live", legal_name="青空")
            read = {"merchant_id": "shop"}
            before = await house.database.read("merchant_keys", read)
            assert await turn(house, await house.rotation().begin(["shop"]))
            assert [row[2] for row in await house.database.read("merchant_keys", read)] != [row[2] for row in before]
            await house.accounts.load()
            assert are_let_in(house, pair, "shop")

    asyncio.run(main())
