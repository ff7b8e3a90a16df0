"""Turning the keys of the vault, while payments run and with other processes beside it.

It goes in steps, each of which may be the last one before a crash: the keysets and the sealed rows say where to go on.
A fresh key is added, and opens. Once every process has loaded it, it is promoted, and seals. Once every process has
loaded that, and has written what it had sealed before, nothing new comes under the old key. Then the rows are sealed
again, page by page, each only if it still is what was read. A pass over all rows that finds none under the old key
proves that nothing needs it, and it is destroyed. The fingerprint key does not turn: it would find no card again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from kessai.keys import Keys
from kessai.log import log
from kessai.storage.database import Database
from kessai.storage.keys import Change, ChangeKeyset, Key, KeyUse, Reseal, VaultKeys
from kessai.storage.merchants import Merchants
from kessai.storage.sealed import SEALED, Sealed
from kessai.vault import CannotOpen, Keyset, Purpose, Vault, key_of

TURNING: Final = (Purpose.CARD, Purpose.SECRET)
PAGE: Final = 500
CHUNK: Final = 100
"""Rows that are read, and sealed again, at a time."""
STEP_S: Final = 0.25
"""How long a step takes, about."""
PAUSE_S: Final = 0.001
"""Between two pages, for payments: reading a page takes about as long."""
GRACE_S: Final = 2.0
"""How long a value that somebody read before it was sealed again may wait until it is opened."""
PACE: Final = 2_000
"""Rows a second that are sealed again, at most."""
TURN_AT: Final = 2**30
TURN_DAYS: Final = 365
"""When a key is due, whichever comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A key as `kessai vault status` tells it. `seals`: at most so many; `rows` are still under it."""

    merchant: str
    purpose: str
    id: str
    state: str
    created_at: datetime
    age_days: int
    seals: int | None
    rows: int | None
    is_due: bool


@dataclass(slots=True, kw_only=True)
class Pass:
    """Where a walk over everything that is sealed stands. It is handed out and back: a step remembers nothing.

    `retiring` are the keys that it walks away from: merchant, purpose, id in hex. `found` is whether any row was under
    one of them, so that another pass has to follow.
    """

    retiring: list[tuple[str, str, str]]
    place: int = 0
    """Of the stretch at hand among `stretches`."""
    after: list[object] = field(default_factory=list)
    found: bool = False
    stuck: int = 0
    """Rows that do not open."""

    def stretches(self) -> list[tuple[str, str, str, Sealed]]:
        return [(*each, column) for each in self.retiring for column in SEALED if column.purpose == each[1]]


@dataclass(slots=True, kw_only=True)
class Step:
    """What a step found and did. `stage` is waiting, promoted, sealing, destroyed, stuck or done."""

    stage: str
    merchants: list[str]
    """Those whose keys are turning."""
    waits_for: list[str] = field(default_factory=list)
    """Processes that have not loaded the newest keys."""
    walked: int = 0
    resealed: int = 0
    at: dict[str, object] | None = None
    """For the next step."""


class Rotation:
    """Turns keys, step by step, while payments run and with other processes beside it."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        keys: Keys,
        keep_up: Callable[[], Awaitable[None]],
        clock: Callable[[], datetime],
    ) -> None:
        """`keep_up` makes this process load what was changed, and say so."""
        self._database = database
        self._vault = vault
        self._keys = keys
        self._keep_up = keep_up
        self._clock = clock
        self._merchants = Merchants(database)
        self._rows = VaultKeys(database)

    # ---- looking

    async def status(self, merchants: Iterable[str]) -> list[Known]:
        """Every key of some merchants; those that are gone too, and those that rows need and nobody has."""
        return [known for merchant_id in merchants for known in await self._status(merchant_id)]

    async def _status(self, merchant_id: str) -> list[Known]:
        stored = await self._merchants.keysets(merchant_id)
        made = await self._rows.made_at(merchant_id)
        uses = {(use.purpose, use.id): use for use in await self._rows.uses(merchant_id)}
        rows = await self._count(merchant_id)
        found = []
        for purpose in Purpose:
            keyset = self._vault.read_keyset(merchant_id, purpose, stored[purpose])
            gone = [use.id for use in uses.values() if use.purpose == purpose and use.destroyed_at]
            lost = [key for of, key in rows if of == purpose and key not in keyset.keys and key not in gone]
            for key in (*gone, *keyset.keys, *lost):
                use = uses.get((purpose, key))
                known = self._known(merchant_id, purpose, key, _state(keyset, key, use), use, made[purpose])
                is_counted = purpose is not Purpose.FINGERPRINT
                found.append(replace(known, rows=rows[purpose, key] if is_counted else None))
        return found

    def _known(
        self, merchant_id: str, purpose: Purpose, key: bytes, state: str, use: KeyUse | None, made: datetime
    ) -> Known:
        created_at = use.created_at if use else made
        age = (self._clock() - created_at).days
        seals = None if purpose is Purpose.FINGERPRINT else use.seals if use else 0
        is_due = state == "seals" and ((seals or 0) >= TURN_AT or age >= TURN_DAYS)
        return Known(
            merchant=merchant_id,
            purpose=purpose,
            id=key.hex(),
            state=state,
            created_at=created_at,
            age_days=age,
            seals=seals,
            rows=None,
            is_due=is_due,
        )

    async def _count(self, merchant_id: str) -> Counter[tuple[str, bytes]]:
        """Rows by the purpose and id of the key that they are under."""
        rows: Counter[tuple[str, bytes]] = Counter()
        for column in SEALED:
            after: Key = column.first
            while page := await self._rows.page(column, merchant_id, after, PAGE):
                after = page[-1][0]
                rows.update((column.purpose, key_of(sealed)) for _, sealed in page if sealed is not None)
                await asyncio.sleep(PAUSE_S)
        return rows

    # ---- turning

    async def _turning(self, merchants: Iterable[str]) -> dict[tuple[str, Purpose], tuple[bytes, Keyset]]:
        """The keysets that have more than one key: as stored, and what is in them."""
        found = {}
        for merchant_id in merchants:
            stored = await self._merchants.keysets(merchant_id)
            for purpose in TURNING:
                keyset = self._vault.read_keyset(merchant_id, purpose, stored[purpose])
                if len(keyset.keys) > 1:
                    found[merchant_id, purpose] = stored[purpose], keyset
        return found

    async def begin(self, merchants: Sequence[str]) -> Step:
        """Add a fresh key to each keyset of some merchants. Where some are turning already, go on with those alone."""
        turning = await self._turning(merchants)
        if turning:
            return Step(stage="resumed", merchants=_owners(turning))
        for merchant_id in merchants:
            stored = await self._merchants.keysets(merchant_id)
            for purpose in TURNING:
                sealed, key = self._vault.with_fresh_key(merchant_id, purpose, stored[purpose])
                await self._change(merchant_id, purpose, stored[purpose], sealed, key)
        return Step(stage="begun", merchants=_owners(await self._turning(merchants)))

    async def _change(
        self,
        merchant_id: str,
        purpose: Purpose,
        was: bytes,
        sealed: bytes,
        key: bytes,
        *,
        promoted: bool = False,
        destroyed: bool = False,
    ) -> None:
        change = ChangeKeyset(
            merchant_id=merchant_id,
            purpose=purpose,
            was=was,
            sealed=sealed,
            id=key,
            now=self._clock(),
            promoted=promoted,
            destroyed=destroyed,
        )
        if await self._database.write(change):  # else somebody else turns it too, and was faster
            event = "key.promoted" if promoted else "key.destroyed" if destroyed else "key.added"
            log(event, merchant=merchant_id, purpose=purpose.value, key=key.hex())

    async def step(self, merchants: Iterable[str], at: Pass | None = None, pace: int = PACE) -> Step:
        """Go on for a moment."""
        await self._keep_up()
        turning = await self._turning(merchants)
        if not turning:
            return Step(stage="done", merchants=[])
        owners = _owners(turning)
        behind = await self._rows.behind(await self._merchants.version())
        if behind:
            await asyncio.sleep(STEP_S)
            names = [f"{each.host} (node {each.node})" for each in behind]
            return Step(stage="waiting", merchants=owners, waits_for=names, at=_written(at))
        fresh = {place: found for place, found in turning.items() if found[1].seals != found[1].keys[-1]}
        for (merchant_id, purpose), (stored, keyset) in fresh.items():
            key = keyset.keys[-1]
            sealed = self._vault.with_sealing(merchant_id, purpose, stored, key)
            await self._change(merchant_id, purpose, stored, sealed, key, promoted=True)
        if fresh:
            return Step(stage="promoted", merchants=owners, at=_written(at))
        if at is None:
            old = [(*place, key.hex()) for place, (_, found) in turning.items() for key in found.keys[:-1]]
            at = Pass(retiring=[(merchant_id, purpose.value, key) for merchant_id, purpose, key in old])
        step = await self._walk(at, owners, pace)
        if at.place < len(at.stretches()):
            return step
        if at.found:
            step.at = None
            return step
        if at.stuck:
            return Step(stage="stuck", merchants=owners, at=_written(at))
        return await self._destroy(at, turning, owners)

    async def _walk(self, at: Pass, owners: list[str], pace: int) -> Step:
        """Seal again what is found under the keys of a pass, from where it stands, for a moment."""
        step, until, stretches = Step(stage="sealing", merchants=owners), time.monotonic() + STEP_S, at.stretches()
        while at.place < len(stretches) and time.monotonic() < until:
            merchant_id, purpose, key, column = stretches[at.place]
            page = await self._rows.page(column, merchant_id, tuple(at.after) or column.first, PAGE)
            old = [(row, sealed) for row, sealed in page if sealed is not None and key_of(sealed).hex() == key]
            for place in range(0, len(old), CHUNK):
                chunk, begun = old[place : place + CHUNK], time.monotonic()
                step.resealed += await self._reseal(merchant_id, Purpose(purpose), column, chunk, at)
                took = time.monotonic() - begun
                await asyncio.sleep(max(len(chunk) / pace - took, took))
            await asyncio.sleep(PAUSE_S)
            step.walked += len(page)
            at.after = list(page[-1][0]) if page else []
            at.place += not page
        step.at = _written(at)
        return step

    async def _reseal(
        self, merchant_id: str, purpose: Purpose, column: Sealed, rows: Sequence[tuple[Key, bytes]], at: Pass
    ) -> int:
        changes = []
        for key, sealed in rows:
            try:
                place = (merchant_id, purpose, column.place, column.row_id(key))
                fresh = await self._keys.sealed(partial(self._vault.reseal, *place, sealed))
            except CannotOpen:
                at.stuck += 1
                log("key.stuck", level="error", merchant=merchant_id, table=column.table, row=column.row_id(key))
                continue
            changes.append(Change(key, sealed, fresh))
        at.found |= bool(changes)
        return await self._database.write(Reseal(merchant_id, column, changes)) if changes else 0

    async def _destroy(
        self, at: Pass, turning: dict[tuple[str, Purpose], tuple[bytes, Keyset]], owners: list[str]
    ) -> Step:
        """Take the keys out that a whole pass found nothing under."""
        await asyncio.sleep(GRACE_S)
        for merchant_id, name, key in at.retiring:
            purpose = Purpose(name)
            stored, keyset = turning.get((merchant_id, purpose), (b"", None))
            if keyset is None or bytes.fromhex(key) not in keyset.keys[:-1]:
                continue
            sealed = self._vault.without(merchant_id, purpose, stored, bytes.fromhex(key))
            await self._change(merchant_id, purpose, stored, sealed, bytes.fromhex(key), destroyed=True)
        await self._keep_up()
        return Step(stage="destroyed", merchants=owners)


def _written(at: Pass | None) -> dict[str, object] | None:
    return asdict(at) if at is not None else None


def _owners(turning: Iterable[tuple[str, Purpose]]) -> list[str]:
    return sorted({merchant_id for merchant_id, _ in turning})


def _state(keyset: Keyset, key: bytes, use: KeyUse | None) -> str:
    """`seals`, `opens` (it sealed before), `waits` (it will seal), `destroyed`, `missing` (rows are under it)."""
    if key == keyset.seals:
        return "seals"
    if key in keyset.keys:
        return "opens" if keyset.keys.index(key) < keyset.keys.index(keyset.seals) else "waits"
    return "destroyed" if use is not None and use.destroyed_at else "missing"
