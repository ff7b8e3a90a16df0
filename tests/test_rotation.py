"""Turning keys: while payments run, beside other processes, killed in the middle; and every seal counts. T-23, A-64."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from kessai import keys, rotation
from kessai.app import House
from kessai.payment.capture import Capture
from kessai.payment.echeck import Echeck
from kessai.payment.lifecycle import Status, Transaction
from kessai.payment.refund import Refund
from kessai.rotation import Pass, Step
from kessai.storage import database, readiness, sqlite
from kessai.storage.database import Unavailable
from kessai.storage.keys import Change, Reseal, VaultKeys
from kessai.storage.merchants import Merchants
from kessai.storage.sealed import SEALED
from kessai.vault import SEALS_PER_KEY, CannotOpen, Purpose, Vault, key_of, parse_kek
from tests import postgres
from tests.commands import COMMAND, ENVIRONMENT, document, gateway, in_turn
from tests.conftest import on_both_engines
from tests.houses import VISA, Till, by_hand, opened, usd
from tests.payment.histories import ACCOUNT

KEK = "5b" * 32
SHOP = "kessai_sandbox"
PLANTED = 3
"""Numbers among the tokens that a merchant of the sandbox begins with."""
CARDS, SECRETS, _TOKENS, *_TRANSIENTS = SEALED

pytestmark = pytest.mark.usefixtures("same_key")


@pytest.fixture
def same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every house has this key-encryption key, whatever its folder; small pages, so that a few rows are several."""
    monkeypatch.setenv("KESSAI_KEY_ENCRYPTION_KEY", KEK)
    monkeypatch.setattr(rotation, "PAGE", 7)
    monkeypatch.setattr(rotation, "CHUNK", 3)
    monkeypatch.setattr(rotation, "GRACE_S", 0.1)


async def turn(house: House, begun: Step, pace: int = 100_000) -> int:
    """Step by step to the end; how many rows were sealed again."""
    turning = house.rotation()
    merchants, at, resealed = begun.merchants, None, 0
    while merchants:
        step = await turning.step(merchants, Pass(**at) if at else None, pace)  # type: ignore[arg-type]
        assert step.stage != "stuck"
        merchants, at, resealed = step.merchants, step.at, resealed + step.resealed
    return resealed


async def step_until(house: House, stage: str, merchants: list[str], at: Any = None, pace: int = 100_000) -> Step:
    for _ in range(100):
        step = await house.rotation().step(merchants, Pass(**at) if at else None, pace)
        if step.stage == stage:
            return step
        at = step.at
    raise AssertionError(f"never {stage}")


async def stored(house: House) -> list[tuple[int, bytes]]:
    """Every card of the shop, as it is stored."""
    page = await VaultKeys(house.database).page(CARDS, SHOP, CARDS.first, 10_000)
    return [(int(key[0]), sealed) for key, sealed in page if sealed is not None]  # type: ignore[call-overload]


async def cards(house: House) -> int:
    """How many cards of the shop open with what is stored now and nothing else; every one has to, under one key."""
    ring = Vault(parse_kek(KEK))
    keysets = await Merchants(house.database).keysets(SHOP)
    ring.load(SHOP, {Purpose(name): sealed for name, sealed in keysets.items()})
    assert len(ring.read_keyset(SHOP, Purpose.CARD, keysets["card"]).keys) == 1
    rows = await stored(house)
    assert {key_of(sealed) for _, sealed in rows} == {ring.sealing_key(SHOP, Purpose.CARD)}
    assert all(ring.open_card(SHOP, row, sealed).pan == VISA.pan for row, sealed in rows)
    return len(rows)


@asynccontextmanager
async def up_to_date(house: House) -> AsyncIterator[None]:
    """What a serving process does every half second, here all the time."""

    async def keep() -> None:
        while True:
            await house.keep_up()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def paying(till: Till, made: list[Transaction]) -> AsyncIterator[None]:
    """Authorizations and captures without a pause, each of which has to work."""
    is_over = asyncio.Event()

    async def pay() -> None:
        while not is_over.is_set():
            paid = await till.authorize()
            done = await till.do(Capture(target=paid.id, amount=usd(6_000)))
            assert isinstance(done, Transaction)
            assert {paid.status, done.status} == {Status.APPROVED}
            made.append(paid)

    tasks = [asyncio.create_task(pay()) for _ in range(3)]
    try:
        yield
    finally:
        is_over.set()
        await asyncio.gather(*tasks)


@on_both_engines
def test_keys_turn_while_payments_run(tmp_path: Path, engine: str) -> None:
    """T-23. On PostgreSQL two processes pay and a third one turns the keys."""

    async def main() -> None:
        made: list[Transaction] = []
        async with opened(tmp_path, works=False) as house:
            async with paying(Till(house), made), up_to_date(house):
                if engine == "sqlite":
                    resealed = await turn(house, await house.rotation().begin([SHOP]))
                else:
                    resealed = await turned_by_a_third(made)
            assert resealed > 0
            assert await cards(house) == len(made)
            done = await Till(house).do(Capture(target=made[0].id, amount=usd(1_000)))
            assert isinstance(done, Transaction)
            assert done.status is Status.APPROVED

    async def turned_by_a_third(made: list[Transaction]) -> int:
        (tmp_path / "second").mkdir()
        (tmp_path / "third").mkdir()
        async with (
            opened(tmp_path / "second", works=False) as other,
            opened(tmp_path / "third", works=False) as third,
            paying(Till(other), made),
            up_to_date(other),
        ):
            return await turn(third, await third.rotation().begin([SHOP]))

    asyncio.run(main())


@on_both_engines
def test_a_turn_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """T-23: after every step that it may be killed behind, payments go on, and the next command finishes it."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            made = [await Till(house).authorize() for _ in range(30)]
            old = house.vault.sealing_key(SHOP, Purpose.CARD)
            assert (await house.rotation().begin([SHOP])).stage == "begun"
        async with opened(tmp_path, works=False) as house:
            assert house.vault.sealing_key(SHOP, Purpose.CARD) == old
            assert (await house.rotation().begin([SHOP])).stage == "resumed"
            assert (await house.rotation().step([SHOP])).stage == "promoted"
        async with opened(tmp_path, works=False) as house:
            fresh = house.vault.sealing_key(SHOP, Purpose.CARD)
            made.append(await Till(house).authorize())
            step = await step_until(house, "sealing", [SHOP], pace=20)
            assert 0 < step.resealed < 30
        async with opened(tmp_path, works=False) as house:
            assert {key_of(sealed) for _, sealed in await stored(house)} == {old, fresh}
            for paid in (made[0], made[29], made[30]):
                assert isinstance(await Till(house).do(Capture(target=paid.id, amount=usd(1))), Transaction)
            assert await turn(house, await house.rotation().begin([SHOP])) == 30 + 2 + PLANTED - step.resealed
            assert await cards(house) == 31
            assert house.vault.sealing_key(SHOP, Purpose.CARD) == fresh
            assert (await house.accounts.shared_secret(SHOP))[0]

    asyncio.run(main())


@on_both_engines
def test_one_merchant_turns_and_the_others_do_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            before = {
                each.merchant.id: house.vault.sealing_key(each.merchant.id, Purpose.CARD) for each in house.accounts
            }
            finger = house.vault.fingerprint(SHOP, VISA.pan)
            await turn(house, await house.rotation().begin([SHOP]))
            after = {
                each.merchant.id: house.vault.sealing_key(each.merchant.id, Purpose.CARD) for each in house.accounts
            }
            assert [name for name in before if before[name] != after[name]] == [SHOP]
            assert house.vault.fingerprint(SHOP, VISA.pan) == finger

    asyncio.run(main())


@on_both_engines
def test_bank_accounts_turn_with_the_cards(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till = Till(house)
            paid = await till.do(Echeck(amount=usd(5_000), account=ACCOUNT))
            assert isinstance(paid, Transaction)
            [(row, before)] = await stored(house)
            await turn(house, await house.rotation().begin([SHOP]))
            [(_, after)] = await stored(house)
            assert (row, key_of(before) != key_of(after)) == (paid.id, True)
            assert house.vault.open_account(SHOP, row, after) == ACCOUNT
            refund = await till.do(Refund(target=paid.id, amount=usd(5_000)))
            assert isinstance(refund, Transaction)
            assert refund.status is Status.APPROVED

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_process_that_has_not_loaded_the_new_key_is_waited_for(tmp_path: Path, engine: str) -> None:
    """No row is ever under a key that a living process does not have; none is left under one that is destroyed."""
    (tmp_path / "b").mkdir()

    async def main() -> None:
        async with opened(tmp_path, works=False) as house, opened(tmp_path / "b", works=False) as other:
            old = other.vault.sealing_key(SHOP, Purpose.CARD)
            await house.rotation().begin([SHOP])
            for _ in range(3):
                step = await house.rotation().step([SHOP])
                assert (step.stage, len(step.waits_for)) == ("waiting", 1)
            assert house.vault.sealing_key(SHOP, Purpose.CARD) == old
            await other.keep_up()
            assert (await house.rotation().step([SHOP])).stage == "promoted"
            await house.keep_up()
            assert house.vault.sealing_key(SHOP, Purpose.CARD) != old
            first = await Till(house).authorize()
            assert isinstance(await Till(other).do(Capture(target=first.id, amount=usd(1))), Transaction)
            late = await Till(other).authorize()  # it has not heard of the promotion: the old key still seals here
            assert {key_of(sealed) for _, sealed in await stored(house)} == {
                old,
                house.vault.sealing_key(SHOP, Purpose.CARD),
            }
            assert (await house.rotation().step([SHOP])).stage == "waiting"
            await other.keep_up()
            assert await turn(house, await house.rotation().begin([SHOP])) >= 1
            assert await cards(house) == 2
            assert isinstance(await Till(other).do(Capture(target=late.id, amount=usd(1))), Transaction)

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_process_that_lost_its_lease_is_waited_for_until_it_cannot_come_back(tmp_path: Path, engine: str) -> None:
    (tmp_path / "b").mkdir()

    async def main() -> None:
        async with opened(tmp_path, works=False) as house, opened(tmp_path / "b", works=False) as other:
            node = other.seat.node
            await house.rotation().begin([SHOP])
            await by_hand(house, f"UPDATE nodes SET until = until - 60000 WHERE node = {node}")
            assert (await house.rotation().step([SHOP])).stage == "waiting"
            await by_hand(house, f"UPDATE nodes SET until = until - 300000 WHERE node = {node}")
            assert (await house.rotation().step([SHOP])).stage == "promoted"

    asyncio.run(main())


@on_both_engines
def test_what_was_changed_meanwhile_is_left_to_its_writer(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            for _ in range(2):
                await Till(house).authorize()
            (first, sealed), (second, other) = await stored(house)
            changes = [Change((first,), sealed + b"x", b"never"), Change((second,), other, b"written")]
            assert await house.database.write(Reseal(SHOP, CARDS, changes)) == 1
            assert await stored(house) == [(first, sealed), (second, b"written")]

    asyncio.run(main())


@on_both_engines
def test_a_row_that_does_not_open_keeps_its_key(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            made = [await Till(house).authorize() for _ in range(3)]
            old = house.vault.sealing_key(SHOP, Purpose.CARD)
            await by_hand(
                house,
                f"UPDATE payments SET card = (SELECT c.card FROM payments AS c WHERE c.id = {made[1].id}) "
                f"WHERE id = {made[0].id}",
            )
            await house.rotation().begin([SHOP])
            step = await step_until(house, "stuck", [SHOP])
            assert step.at is not None
            assert step.at["stuck"] == 1
            states = {key.id: (key.state, key.rows) for key in await house.rotation().status([SHOP])}
            assert states[old.hex()] == ("opens", 1)
            with pytest.raises(CannotOpen):
                house.vault.open_card(SHOP, made[0].id, dict(await stored(house))[made[0].id])

    asyncio.run(main())


# ---- counting


@on_both_engines
def test_seals_are_counted_across_processes_and_lives(tmp_path: Path, engine: str) -> None:
    """A-64: reserved durably before they are made; what an orderly process did not use it gives back."""

    async def seals(house: House) -> int:
        (key,) = [each for each in await house.rotation().status([SHOP]) if each.purpose == "card"]
        assert key.seals is not None
        return key.seals

    async def main() -> None:
        (tmp_path / "b").mkdir()
        async with opened(tmp_path, works=False) as house:
            assert await seals(house) == keys.BLOCK[Purpose.CARD]
            for _ in range(3):
                await Till(house).authorize()
            assert await seals(house) == keys.BLOCK[Purpose.CARD]
            assert house.vault.seals(SHOP)[Purpose.CARD] == 3 + PLANTED
            if engine == "postgresql":
                async with opened(tmp_path / "b", works=False) as other:
                    await Till(other).authorize()
                    assert await seals(house) == 2 * keys.BLOCK[Purpose.CARD]
                assert await seals(house) == keys.BLOCK[Purpose.CARD] + 1
            house.accounts.keys._reserving.clear()  # killed: it gives nothing back
        async with opened(tmp_path, works=False) as house:
            made = keys.BLOCK[Purpose.CARD] + (engine == "postgresql")
            assert (await seals(house), house.vault.seals(SHOP)[Purpose.CARD]) == (made, made)
            await Till(house).authorize()
        async with opened(tmp_path, works=False) as house:
            assert await seals(house) == made + 1

    asyncio.run(main())


@on_both_engines
def test_a_key_refuses_before_it_seals_too_often_and_a_fresh_one_takes_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            await Till(house).authorize()
            await by_hand(house, f"UPDATE vault_keys SET seals = {SEALS_PER_KEY} WHERE purpose = 'card'")
        async with opened(tmp_path, works=False) as house:
            (key,) = [each for each in await house.rotation().status([SHOP]) if each.purpose == "card"]
            assert key.is_due
            with pytest.raises(Unavailable):
                await Till(house).authorize()
            await turn(house, await house.rotation().begin([SHOP]))
            await Till(house).authorize()
            assert await cards(house) == 2

    asyncio.run(main())


@on_both_engines
def test_many_that_seal_at_once_reserve_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            await asyncio.gather(*(Till(house).authorize() for _ in range(20)))
            (key,) = [each for each in await house.rotation().status([SHOP]) if each.purpose == "card"]
            assert (key.seals, key.rows) == (keys.BLOCK[Purpose.CARD], 20 + PLANTED)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_was_sealed_before_it_was_counted_is_counted_by_the_migration(kind: str) -> None:
    """Versions may be missing between two migrations."""
    steps = dict(database.migrations())
    rows = (
        "INSERT INTO keysets (merchant_id, purpose, sealed, created_at) VALUES ('m', 'card', '', 17)",
        *(
            "INSERT INTO payments (merchant_id, id, version, pan_prefix, pan_suffix, expiry, card) "
            f"VALUES ('m', {number}, 0, '', '', '', {card})"
            for number, card in enumerate(("@0101aabbccdd00", "@0101aabbccdd01", "@010100000001ff", None))
            for card in ["NULL" if card is None else card.replace("@", "x'" if kind == "sqlite" else r"'\x") + "'"]
        ),
    )
    counted = "SELECT id, seals, created_at FROM vault_keys ORDER BY seals"
    if kind == "sqlite":
        connection = apsw.Connection(":memory:")
        sqlite.migrate(connection, [(1, steps[1])])
        for row in rows:
            connection.execute(row)
        sqlite.migrate(connection, [(1, steps[1]), (4, steps[4])])
        assert connection.pragma("user_version") == 4
        found = connection.execute(counted).fetchall()
    else:
        url = postgres.fresh(migrated=False)
        scripts = [readiness.for_postgres(steps[number]) for number in (1, 4)]
        asyncio.run(postgres.execute(url, scripts[0], *rows, scripts[1]))
        found = asyncio.run(postgres.rows(url, counted))
    assert found == [(bytes.fromhex("00000001"), 1, 17), (bytes.fromhex("aabbccdd"), 2, 17)]


# ---- the command


def test_the_command_turns_keys_of_a_gateway_that_serves(tmp_path: Path) -> None:
    with gateway(tmp_path) as served:
        paid = served.pay()
        commands: tuple[list[str], ...] = (["--merchant", SHOP, "--json"], [], ["--merchant", "nobody"])
        turned, neither, nobody = in_turn(tmp_path, [["vault", "rotate", *options] for options in commands])
        assert json.loads(turned[1]) == {"merchants": [SHOP], "resumed": False, "resealed": 3 + PLANTED}
        assert neither[0] == 2
        assert nobody == (1, "", "kessai: there is no merchant nobody.\n")
        served.capture(paid)
        served.pay()
        found = document(tmp_path, "vault", "status", "--merchant", SHOP)
        assert [(key["purpose"], key["state"], key["rows"]) for key in found] == [
            ("card", "destroyed", 0),
            ("card", "seals", 2 + PLANTED),
            ("secret", "destroyed", 0),
            ("secret", "seals", 2),
            ("fingerprint", "seals", None),
        ]


def test_a_command_that_was_interrupted_beside_workers_is_taken_up_by_the_next(tmp_path: Path) -> None:
    """Two processes serve, the command is a third; it is stopped with Ctrl-C in the middle of its rows."""
    url = postgres.fresh()

    async def promoted() -> bool:
        connection = await asyncpg.connect(url)
        try:
            query = "SELECT COUNT(*) FROM vault_keys WHERE promoted_at IS NOT NULL AND merchant_id = 'kessai_sandbox'"
            return bool(await connection.fetchval(query) == 2)
        finally:
            await connection.close()

    key = {"KESSAI_KEY_ENCRYPTION_KEY": KEK, "KESSAI_DATABASE": url}
    with gateway(tmp_path, "--workers", "2", settings=key) as served:
        paid = [served.pay() for _ in range(12)]
        command = subprocess.Popen(
            [*COMMAND, "vault", "rotate", "--all", "--pace", "1", "--data", str(tmp_path)],
            env=ENVIRONMENT | key,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + 60
        while not asyncio.run(promoted()):
            assert time.monotonic() < until
            served.pay()
        command.send_signal(signal.SIGINT)
        said, complained = command.communicate(timeout=30)
        assert (command.returncode, said) == (1, "")
        assert complained == ("kessai: stopped; what is done stays done, and the same command goes on from there.\n")
        paid.append(served.pay())
        finished = subprocess.run(
            [*COMMAND, "vault", "rotate", "--all", "--json", "--data", str(tmp_path)],
            env=ENVIRONMENT | key,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert '"resumed": true' in finished.stdout
        for each in paid:
            served.capture(each)
