"""Accounts: the merchants of this installation with their keys, kept in memory, opened once, changed in one place.

The rows hold what differs from a personality's terms, sealed secrets and certificates; here they become merchants and
keys that a dialect can verify with. Every change is written first and shown after.
"""

import asyncio
import base64
import re
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from kessai.acquirers import Personality, personalities
from kessai.dialects.cybersource.auth import Certificate, SharedSecret
from kessai.dialects.document import has_bad_characters
from kessai.dialects.paymentoptions.auth import hash_of
from kessai.keys import Keys
from kessai.messages import Messages
from kessai.payment import issuers
from kessai.payment.merchant import Merchant, Mode, ServerToServer, Terms
from kessai.payment.risk import Limits
from kessai.storage.database import Database
from kessai.storage.keys import Change, Reseal
from kessai.storage.merchants import AddKey, AddMerchant, KeyRow, MerchantRow, Merchants, RevokeKey, SetMerchant
from kessai.storage.sealed import SEALED
from kessai.vault import Vault

ANSWERS: Final = "answers"
"""The kind of a certificate that signs nothing: answers are encrypted to it."""
BEARER: Final = "bearer"
"""The kind of a pair of secrets that requests of the PaymentOptions wire carry."""
GROUPS: Final[Mapping[str, Any]] = {"options": issuers.Contract, "paymentoptions": ServerToServer, "risk": Limits}
"""Settings that go together, each named after its group and a point."""
LONGEST_NAME: Final = 255
MOST_RACES: Final = 32
"""How often a change of a merchant that others change too starts again."""
_ID: Final = re.compile(r"[A-Za-z0-9_]{1,30}", re.ASCII)
_KEY_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)


class Refused(Exception):
    """An administrative order that cannot be carried out; the text is one sentence for the operator."""


class Bearer(msgspec.Struct, frozen=True):
    """A pair of secrets: the user name of `Authorization: Basic`, and `x-api-key`."""

    api_key: str
    x_api_key: str

    @property
    def hashed(self) -> "Hashed":
        return Hashed((hash_of(self.api_key.encode()), hash_of(self.x_api_key.encode())))


class Hashed(msgspec.Struct, frozen=True):
    """What is kept of the pair of a live merchant: enough to find it, and no more (R-53)."""

    hashes: tuple[bytes, bytes]


@dataclass(slots=True)
class Account:
    """A merchant, its live keys by the ids that requests name, and what is needed to change it."""

    merchant: Merchant
    overrides: dict[str, object]
    settled_until: datetime
    keys: dict[str, SharedSecret | Certificate] = field(default_factory=dict)
    answer_keys: dict[str, Certificate] = field(default_factory=dict)
    """What answers may be encrypted to, by the ids that requests name. They sign nothing."""
    bearers: dict[bytes, str] = field(default_factory=dict)
    """Its secrets that are borne, by their hashes: the ids of their keys."""


class Accounts:
    """Every merchant of the installation."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.database = database
        self._rows = Merchants(database)
        self._vault = vault
        self.keys = Keys(database, vault)
        self.messages = Messages(database, vault)
        self._accounts: dict[str, Account] = {}
        self._bearers: dict[bytes, str] = {}
        """Whose a secret is that is borne, by its hash."""
        self.exposed: set[tuple[str, str]] = set()
        """Merchant and key of secrets that came over a network in the clear: they are to be changed."""
        self._version = 0
        self.changing = asyncio.Lock()
        """Held over every change, so that two orders about one merchant come one after the other."""
        self.welcome: Callable[[Merchant], Awaitable[None]] | None = None
        """Called with every merchant that was added here."""
        self.beside: Callable[[], Awaitable[None]] | None = None
        """Reads what else is kept in memory of merchants, whenever these are read."""

    def __iter__(self) -> Any:
        return iter(list(self._accounts.values()))

    def find(self, merchant_id: str) -> Account | None:
        return self._accounts.get(merchant_id)

    def of_bearer(self, hashed: bytes) -> tuple[Account, str] | None:
        """Whose a secret is, and of which key, by its hash."""
        account = self._accounts.get(self._bearers.get(hashed, ""))
        key_id = account.bearers.get(hashed) if account is not None else None
        return (account, key_id) if account is not None and key_id is not None else None

    def exposed_of(self, merchant_id: str) -> dict[str, object]:
        """The keys of a merchant that this process saw in the clear, as `merchant list` shows them; nothing: none."""
        found = sorted(key_id for whose, key_id in self.exposed if whose == merchant_id)
        return {"exposed_keys": found} if found else {}

    def get(self, merchant_id: str) -> Account:
        """Refused where there is no such merchant."""
        account = self._accounts.get(merchant_id)
        if account is None:
            raise Refused(f"there is no merchant {merchant_id}")
        return account

    @property
    def are_all_tests(self) -> bool:
        """Whether no merchant is live: then even a stranger may be told why it is refused."""
        return all(account.merchant.is_test for account in self._accounts.values())

    async def load(self) -> None:
        """Read every merchant and open its keys. A wrong key-encryption key shows here, before any port is open."""
        version = await self._newest()
        await self.messages.load()
        for row in await self._rows.all():
            account = Account(_merchant(row), msgspec.json.decode(row.terms), row.settled_until)
            await self.keys.load(row.id)
            await self._load_keys(account)
            self._accounts[row.id] = account
        if self.beside is not None:
            await self.beside()
        self._version = version

    @property
    def version(self) -> int:
        """How many changes of merchants and keys, at least, are in what is kept here."""
        return self._version

    async def _newest(self) -> int:
        rows = await self.database.read("changes_version", {})
        return int(rows[0][0]) if rows else 0

    async def refresh(self) -> bool:
        """Read everything again if any process has changed a merchant or a key since. Whether one had."""
        if await self._newest() == self._version:
            return False
        async with self.changing:
            await self.load()
        return True

    async def _load_keys(self, account: Account) -> None:
        merchant_id = account.merchant.id
        live: dict[str, SharedSecret | Certificate] = {}
        answer_keys: dict[str, Certificate] = {}
        bearers: dict[bytes, str] = {}
        for row in await self._rows.keys(merchant_id):
            if row.revoked_at is not None:
                continue
            if row.kind == BEARER and row.sealed is not None:
                kept = self._open_bearer(merchant_id, row.id, row.sealed)
                bearers |= dict.fromkeys((kept.hashed if isinstance(kept, Bearer) else kept).hashes, row.id)
            elif row.sealed is not None:
                secret = self._vault.open_secret(merchant_id, row.id, "shared_secret", row.sealed)
                live[row.id] = SharedSecret(row.id, secret, merchant_id)
            elif row.kind == ANSWERS and row.certificate is not None:
                answer_keys[row.id] = Certificate.of(row.certificate, merchant_id)
            elif row.certificate is not None:
                certificate = Certificate.of(row.certificate, merchant_id)
                live |= dict.fromkeys(certificate.key_ids, certificate)
        account.keys, account.answer_keys = live, answer_keys
        before = self._accounts.get(merchant_id, account).bearers
        for hashed in before.keys() - bearers.keys():
            del self._bearers[hashed]
        account.bearers = bearers
        self._bearers |= dict.fromkeys(bearers, merchant_id)

    def _open_bearer(self, merchant_id: str, key_id: str, sealed: bytes) -> Bearer | Hashed:
        opened = self._vault.open_secret(merchant_id, key_id, "shared_secret", sealed)
        try:
            return msgspec.json.decode(opened, type=Bearer)
        except msgspec.ValidationError:
            return msgspec.json.decode(opened, type=Hashed)

    async def _seal_bearer(self, merchant_id: str, key_id: str, kept: Bearer | Hashed, now: datetime) -> bytes:
        seal = partial(self._vault.seal_secret, merchant_id, key_id, "shared_secret", msgspec.json.encode(kept))
        return await self.keys.sealed(seal, now)

    # ---- changes

    async def add(
        self,
        merchant_id: str,
        personality: str,
        now: datetime,
        *,
        mode: str = "test",
        key_id: str | None = None,
        shared_secret: str | None = None,
        certificate: bytes | None = None,
        legal_name: str | None = None,
    ) -> dict[str, object]:
        """A new merchant. Without a key of its own it gets a shared secret, which the answer shows once.

        With a name in law it gets a pair of bearer secrets too, for the PaymentOptions wire. Refused for an id that is
        taken or impossible, an unknown personality, a live merchant on a simulator.
        """
        if _ID.fullmatch(merchant_id) is None:
            raise Refused("a merchant id is 1 to 30 letters, digits and underscores")
        kind = personalities().get(personality)
        if kind is None:
            raise Refused(f"there is no personality {personality}; there are: {', '.join(personalities())}")
        if merchant_id in self._accounts:
            raise Refused(f"there is a merchant {merchant_id} already")
        terms = msgspec.json.encode({"legal_name": _legal_name(legal_name)} if legal_name is not None else {}).decode()
        row = MerchantRow(id=merchant_id, personality=personality, mode=mode, terms=terms, settled_until=now)
        _refuse_live_on_simulator(mode, kind)
        keysets = self._vault.create_keys(merchant_id)
        self._vault.load(merchant_id, keysets)
        keys: list[KeyRow] = []
        shown: dict[str, object] = {"id": merchant_id, "personality": personality, "mode": mode}
        if certificate is not None:
            keys.append(self._certificate_row(merchant_id, certificate, now))
            shown["certificate"] = keys[-1].id
        if shared_secret is not None or certificate is None:
            key, text = await self._secret_row(merchant_id, key_id, shared_secret, now)
            keys.append(key)
            shown |= {"key_id": key.id} | ({"shared_secret": text} if shared_secret is None else {})
        if legal_name is not None:
            key, pair = await self._bearer_row(merchant_id, Mode(mode), now)
            keys.append(key)
            shown |= {"legal_name": legal_name} | pair
        write = AddMerchant(row=row, keysets={str(p): bytes(k) for p, k in keysets.items()}, keys=tuple(keys), now=now)
        if not await self.database.write(write):
            self._vault.forget(merchant_id)
            raise Refused(f"there is a merchant {merchant_id} already")
        account = Account(_merchant(row), msgspec.json.decode(terms), now)
        await self._load_keys(account)
        self._accounts[merchant_id] = account
        if self.welcome is not None:
            await self.welcome(account.merchant)
        return shown

    async def _secret_row(
        self, merchant_id: str, key_id: str | None, text: str | None, now: datetime
    ) -> tuple[KeyRow, str]:
        key_id = key_id or str(uuid.uuid4())
        if _KEY_ID.fullmatch(key_id) is None:
            raise Refused("a key id is 1 to 128 visible ASCII characters")
        text = text if text is not None else base64.b64encode(secrets.token_bytes(32)).decode()
        try:
            secret = base64.b64decode(text.strip(), validate=True)
            SharedSecret(key_id, secret, merchant_id)
        except ValueError:
            raise Refused("a shared secret is base64 of at least 16 bytes") from None
        sealed = await self.keys.sealed(
            partial(self._vault.seal_secret, merchant_id, key_id, "shared_secret", secret), now
        )
        row = KeyRow(id=key_id, kind="secret", sealed=sealed, certificate=None, created_at=now, revoked_at=None)
        return row, text

    async def _bearer_row(self, merchant_id: str, mode: Mode, now: datetime) -> tuple[KeyRow, dict[str, object]]:
        """A new pair of bearer secrets, and how it is shown, once; of a live merchant's, their hashes are kept."""
        pair, key_id = Bearer(secrets.token_urlsafe(32), secrets.token_urlsafe(32)), f"po-{uuid.uuid4()}"
        kept = pair if mode is Mode.TEST else pair.hashed
        row = KeyRow(
            id=key_id,
            kind=BEARER,
            sealed=await self._seal_bearer(merchant_id, key_id, kept, now),
            certificate=None,
            created_at=now,
            revoked_at=None,
        )
        return row, {"paymentoptions_key_id": key_id, "api_key": pair.api_key, "x_api_key": pair.x_api_key}

    async def add_bearer(self, merchant_id: str, now: datetime) -> dict[str, object]:
        """Another pair of bearer secrets for a merchant, shown once."""
        account = self.get(merchant_id)
        row, shown = await self._bearer_row(merchant_id, account.merchant.mode, now)
        if not await self.database.write(AddKey(merchant_id, row)):
            raise Refused(f"the merchant {merchant_id} has, or had, a key {row.id}")
        await self._load_keys(account)
        return {"merchant": merchant_id, "kind": row.kind, **shown}

    async def bearer(self, merchant_id: str) -> Bearer:
        """The latest pair of bearer secrets of a test merchant that is not revoked, opened for its owner."""
        for row in reversed(await self._rows.keys(merchant_id)):
            if row.kind == BEARER and row.sealed is not None and row.revoked_at is None:
                kept = self._open_bearer(merchant_id, row.id, row.sealed)
                if isinstance(kept, Bearer):
                    return kept
                raise Refused(f"only hashes are kept of the keys of {merchant_id}: it is, or was, a live merchant")
        raise Refused(f"the merchant {merchant_id} has no keys of the PaymentOptions wire")

    def _certificate_row(self, merchant_id: str, data: bytes, now: datetime) -> KeyRow:
        try:
            certificate = Certificate.of(data, merchant_id)
        except ValueError as error:
            raise Refused(f"the certificate cannot be used: {error}") from None
        return KeyRow(
            id=certificate.key_ids[0],
            kind="certificate",
            sealed=None,
            certificate=data,
            created_at=now,
            revoked_at=None,
        )

    async def add_key(
        self,
        merchant_id: str,
        now: datetime,
        *,
        key_id: str | None = None,
        shared_secret: str | None = None,
        certificate: bytes | None = None,
    ) -> dict[str, object]:
        """Another key for a merchant; a fresh secret is shown once."""
        account = self.get(merchant_id)
        if certificate is not None:
            row, shown = self._certificate_row(merchant_id, certificate, now), {}
        else:
            row, text = await self._secret_row(merchant_id, key_id, shared_secret, now)
            shown = {"shared_secret": text} if shared_secret is None else {}
        if not await self.database.write(AddKey(merchant_id, row)):
            raise Refused(f"the merchant {merchant_id} has, or had, a key {row.id}")
        await self._load_keys(account)
        return {"merchant": merchant_id, "key_id": row.id, "kind": row.kind, **shown}

    async def add_answer_key(
        self, merchant_id: str, now: datetime, certificate: bytes, key_id: str | None = None
    ) -> dict[str, object]:
        """A certificate that answers may be encrypted to, by its subject's serialNumber or another id."""
        account = self.get(merchant_id)
        row = self._certificate_row(merchant_id, certificate, now)
        if key_id is not None and _KEY_ID.fullmatch(key_id) is None:
            raise Refused("a key id is 1 to 128 visible ASCII characters")
        row = replace(row, id=key_id or row.id, kind=ANSWERS)
        if row.id in account.keys or not await self.database.write(AddKey(merchant_id, row)):
            raise Refused(f"the merchant {merchant_id} has, or had, a key {row.id}")
        await self._load_keys(account)
        return {"merchant": merchant_id, "key_id": row.id, "kind": row.kind}

    async def key_store(self, merchant_id: str, password: str, now: datetime) -> bytes:
        """A key store for a client of a merchant, whose new certificate may sign from now on."""
        self.get(merchant_id)
        if not 0 < len(password) <= 128:
            raise Refused("the password of a key store is 1 to 128 characters")
        made = await self.messages.key_store(merchant_id, password, now)
        await self.add_key(merchant_id, now, certificate=made.certificate)
        return made.content

    async def revoke_key(self, merchant_id: str, key_id: str, now: datetime) -> dict[str, object]:
        account = self.get(merchant_id)
        key = account.keys.get(key_id)
        stored = key.key_ids[0] if key is not None else key_id
        if not await self.database.write(RevokeKey(merchant_id, stored, now)):
            raise Refused(f"the merchant {merchant_id} has no live key {key_id}")
        await self._load_keys(account)
        return {"merchant": merchant_id, "key_id": stored, "revoked": True}

    async def set(self, merchant_id: str, changes: Mapping[str, str]) -> dict[str, object]:
        """Change terms (`name=value`; `options.name=value` for the contract; an empty value: the default) or `mode`."""
        account = self.get(merchant_id)
        for _ in range(MOST_RACES):
            seen = await self._rows.find(merchant_id)
            assert seen is not None, "a merchant in memory has a row"
            row, overrides = _changed(seen, changes)
            merchant = _merchant(row)
            if await self.database.write(SetMerchant(seen, row.mode, row.terms)):
                account.merchant, account.overrides = merchant, overrides
                if merchant.mode is Mode.LIVE:
                    await self._forget_bearers(merchant_id)
                return describe(account)
        raise Refused(f"the merchant {merchant_id} is being changed by others; try again")

    async def _forget_bearers(self, merchant_id: str) -> None:
        """Keep the hashes of a merchant's bearer secrets and no more: it has gone live."""
        column = next(each for each in SEALED if each.table == "merchant_keys")
        for _ in range(MOST_RACES):  # until none is left: a key of the vault may turn meanwhile
            changes: list[Change] = []
            for row in await self._rows.keys(merchant_id):
                if row.kind == BEARER and row.sealed is not None:
                    kept = self._open_bearer(merchant_id, row.id, row.sealed)
                    if isinstance(kept, Bearer):
                        sealed = await self._seal_bearer(merchant_id, row.id, kept.hashed, row.created_at)
                        changes.append(Change(key=(row.id,), was=row.sealed, sealed=sealed))
            if not changes:
                return
            await self.database.write(Reseal(merchant_id, column, changes))

    async def shared_secret(self, merchant_id: str) -> tuple[str, str]:
        """Key id and base64 text of the latest live shared secret, opened for its owner."""
        for row in reversed(await self._rows.keys(merchant_id)):
            if row.kind != BEARER and row.sealed is not None and row.revoked_at is None:
                secret = self._vault.open_secret(merchant_id, row.id, "shared_secret", row.sealed)
                return row.id, base64.b64encode(secret).decode()
        raise Refused(f"the merchant {merchant_id} has no shared secret to sign with")


def describe(account: Account) -> dict[str, object]:
    """A merchant as `merchant list` shows it."""
    merchant = account.merchant
    return {
        "id": merchant.id,
        "personality": merchant.personality,
        "mode": merchant.mode.value,
        "wires": ["cybersource", *(["paymentoptions"] if account.bearers else [])],
        "keys": sorted({key.key_ids[0] for key in account.keys.values()}),
        "answer_keys": sorted(account.answer_keys),
        "paymentoptions_keys": sorted(set(account.bearers.values())),
        "settings": account.overrides,
    }


def _legal_name(text: str) -> str:
    if not 0 < len(text) <= LONGEST_NAME or has_bad_characters(text):
        raise Refused(f"a legal name is 1 to {LONGEST_NAME} letters, and no control characters")
    return text


def _refuse_live_on_simulator(mode: str, kind: Personality) -> None:
    if mode not in ("test", "live"):
        raise Refused("a merchant's mode is test or live")
    if mode == "live" and kind.simulated:
        raise Refused(f"a live merchant cannot be on the simulator ({kind.name})")


def _changed(row: MerchantRow, changes: Mapping[str, str]) -> tuple[MerchantRow, dict[str, object]]:
    """A merchant's row with some changes, and the settings of it that differ. Refused for a name that is none."""
    overrides = msgspec.json.decode(row.terms)
    for name, text in changes.items():
        if name != "mode":
            _override(overrides, name, text)
    terms = msgspec.json.encode(overrides).decode()
    mode = changes.get("mode", row.mode)
    if mode == "live" and row.ahead_ms:
        raise Refused("a merchant whose clock was moved stays a test merchant: its books are ahead of time")
    return replace(row, mode=mode, terms=terms), overrides


def _merchant(row: MerchantRow) -> Merchant:
    """A merchant with its personality's terms and what differs from them. Refused where a setting does not fit."""
    kind = personalities()[row.personality]
    _refuse_live_on_simulator(row.mode, kind)
    overrides = msgspec.json.decode(row.terms)
    merged = msgspec.to_builtins(kind.terms)
    grouped = {group: {**merged[group], **overrides.get(group, {})} for group in GROUPS}
    try:
        terms = msgspec.convert({**merged, **overrides, **grouped}, Terms)
        ZoneInfo(terms.time_zone)
    except (msgspec.ValidationError, ValueError, ZoneInfoNotFoundError) as error:
        raise Refused(f"a setting does not fit: {error}") from None
    if terms.issuer not in issuers.PROFILES:
        raise Refused(f"there is no issuer profile {terms.issuer}; there are: {', '.join(issuers.PROFILES)}")
    mode = Mode(row.mode)
    ahead = timedelta(milliseconds=row.ahead_ms) if mode is Mode.TEST else timedelta()
    return Merchant(id=row.id, personality=row.personality, mode=mode, terms=terms, ahead=ahead)


def _override(overrides: dict[str, Any], name: str, text: str) -> None:
    """One `name=value` into the settings that differ; the value is JSON where it reads as JSON, else a text."""
    place, known = overrides, Terms.__dataclass_fields__
    group, point, member = name.partition(".")
    if point and group in GROUPS:
        name = member
        place, known = overrides.setdefault(group, {}), GROUPS[group].__dataclass_fields__
    if name not in known or (place is overrides and name in GROUPS):
        raise Refused(f"there is no merchant setting {name}; see docs/reference/settings.md")
    if text == "":
        place.pop(name, None)
        if overrides.get(group) == {}:
            del overrides[group]
        return
    try:
        place[name] = msgspec.json.decode(text)
    except msgspec.DecodeError:
        place[name] = text
