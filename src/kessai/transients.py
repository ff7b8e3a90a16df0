"""Transient tokens: cards that came from a browser, kept sealed for a quarter of an hour, for one use.

    make    browser's card → a row: number and expiry sealed, the security code blinded and sealed
    spend   token or its jti → the card and a claim, which goes with the commit of whatever uses it

Of two who spend the same token, the claim lets one commit. A row is found by the hash of the token's name. The name
itself (`jti`, 256 random bits) is kept nowhere, and a security code is blinded with it before it is sealed: whoever has
the database and all its keys, but not the token, cannot read the code. The worker removes what has expired.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey
from msgspec import Struct
from msgspec.structs import replace

from kessai import ids
from kessai.claims import claim_of
from kessai.dialects.cybersource import flex
from kessai.payment.card import Brand, Card, SecurityCode
from kessai.payment.lifecycle import Refusal
from kessai.storage.database import Database
from kessai.storage.flex import AddFlexKey, AddTransient, find_transient, flex_keys
from kessai.storage.payments import Claim
from kessai.vault import Vault

CONTEXT: Final = "context"
"""Purpose of the key that signs capture contexts."""
CARD: Final = "card"
"""Purpose of the key that cards are encrypted to, and that signs transient tokens."""
_CODE_BYTES: Final = 4


class Spent(Struct, frozen=True):
    """A card, and the claim by which it is used once: it belongs into the commit of what uses it."""

    card: Card
    claim: Claim


class FlexKeys:
    """The installation's keys for cards from browsers: made at first use, shared by all processes."""

    def __init__(self, database: Database, vault: Vault, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._keys: dict[str, tuple[str, RSAKey]] = {}
        self._making = asyncio.Lock()

    async def current(self, purpose: str) -> RSAKey:
        """The newest key of a purpose, made where there is none."""
        async with self._making:
            if self._newest(purpose) is None:
                await self._load()
            if self._newest(purpose) is None:
                pair = await asyncio.to_thread(rsa.generate_private_key, public_exponent=65_537, key_size=2048)
                await self._database.write(self._sealed(purpose, pair))
                await self._load()
        found = self._newest(purpose)
        assert found is not None
        return found

    async def find(self, kid: str | None, purpose: str) -> RSAKey | None:
        """A key by its id; another process may have made it a moment ago."""
        if kid is not None and kid not in self._keys:
            await self._load()
        known = self._keys.get(kid) if kid is not None else None
        return known[1] if known is not None and known[0] == purpose else None

    def _newest(self, purpose: str) -> RSAKey | None:
        return next((key for of, key in reversed(list(self._keys.values())) if of == purpose), None)

    async def _load(self) -> None:
        for kid, purpose, sealed in await flex_keys(self._database):
            if kid not in self._keys:
                der = self._vault.open_of_installation(f"flex key {kid}", sealed)
                loaded = serialization.load_der_private_key(der, None)
                assert isinstance(loaded, rsa.RSAPrivateKey)
                self._keys[kid] = purpose, RSAKey.import_key(loaded, {"kid": kid})

    def _sealed(self, purpose: str, pair: rsa.RSAPrivateKey) -> AddFlexKey:
        kid = secrets.token_hex(8)
        der = pair.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        sealed = self._vault.seal_of_installation(f"flex key {kid}", der)
        return AddFlexKey(id=kid, purpose=purpose, sealed=sealed, now=self._clock())


class Transients:
    """`new_id` gives time-ordered ids, `clock` aware UTC; `sealed` calls what seals, and reserves seals for it."""

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        new_id: Callable[[], int],
        clock: Callable[[], datetime],
        sealed: Callable[[Callable[[], bytes]], Awaitable[bytes]],
    ) -> None:
        self.keys = FlexKeys(database, vault, clock)
        self.clock = clock
        self._database = database
        self._vault = vault
        self._new_id = new_id
        self._sealed = sealed

    async def make(self, merchant_id: str, card: Card, key: RSAKey) -> str:
        """The signed token of a card that was encrypted to a key. DatabaseError: it is not there."""
        jti, row, now = secrets.token_hex(32).upper(), self._new_id(), self.clock()
        code = None
        if card.security_code is not None:
            blinded = _blinded(card.security_code.digits.ljust(_CODE_BYTES, " ").encode(), jti)
            seal = partial(self._vault.seal_secret, merchant_id, str(row), "transient_code", blinded)
            code = await self._sealed(seal)
        await self._database.write(
            AddTransient(
                merchant_id=merchant_id,
                id=row,
                key=_hashed(jti),
                card=await self._sealed(partial(self._vault.seal_card, merchant_id, row, card.pan, card.expiry)),
                code=code,
                brand=card.brand.word if card.brand is not None else None,
                expires_at=now + flex.LIFE,
            )
        )
        return flex.token(card, key=key, jti=jti, now=now)

    async def spend(self, merchant_id: str, named: str) -> Spent | Refusal:
        """What a transient token, or its `jti`, stands for, with the claim that goes into the commit of its use.

        Nothing is used up before that commit, where a claim that is taken tells `TRANSIENT_SPENT`. Other merchants'
        tokens are unknown. The card's number and code are for this one exchange.
        """
        found = await self._find(merchant_id, named)
        if found is None:
            return Refusal.TRANSIENT_UNKNOWN
        jti, card = found
        since = ids.first_of(self.clock() - timedelta(days=1))
        claim = claim_of("transient", jti, since=since, taken=Refusal.TRANSIENT_SPENT)
        return Spent(card, replace(claim, other=Refusal.TRANSIENT_SPENT))

    async def look(self, merchant_id: str, named: str) -> Card | None:
        """The card of a token, to show what may be shown of it. Nothing is used up."""
        found = await self._find(merchant_id, named)
        return found[1] if found is not None else None

    async def _find(self, merchant_id: str, named: str) -> tuple[str, Card] | None:
        now = self.clock()
        if len(named) > flex.CONTEXT_LIMIT:
            return None
        key = await self.keys.find(flex.kid_of(named), CARD) if "." in named else None
        jti = flex.jti_of(named, key, now)
        kept = await find_transient(self._database, merchant_id, _hashed(jti)) if jti is not None else None
        if jti is None or kept is None or kept.expires_at <= now:
            return None
        card = self._vault.open_card(merchant_id, kept.id, kept.card)
        code = None
        if kept.code is not None:
            blinded = self._vault.open_secret(merchant_id, str(kept.id), "transient_code", kept.code)
            code = SecurityCode(_blinded(blinded, jti).decode().strip())
        return jti, replace(card, security_code=code, brand=Brand(kept.brand) if kept.brand else None)


def _hashed(jti: str) -> bytes:
    return hashlib.sha256(b"kessai transient " + jti.encode()).digest()


def _blinded(code: bytes, jti: str) -> bytes:
    """A code under a pad that only the token's name gives, and that is used for this one code; and back again."""
    pad = hashlib.sha256(b"kessai transient code " + jti.encode()).digest()
    return bytes(octet ^ other for octet, other in zip(code, pad, strict=False))
