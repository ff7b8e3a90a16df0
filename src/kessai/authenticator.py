"""Authentications carried out: begun at a signed request, answered by a payer's browser, used by one payment.

    begin   card, amount, where the payer goes ─► concluded at once, or a challenge with a token for the browser
    answer  token and what was typed           ─► concluded; of two answers, one counts
    use     name, card, amount                 ─► what the issuer is told, and a claim for commit 1 of the payment

A payment may wait for its payer: a wire hands over its card and a document of its own, and is called when the challenge
has ended, however it did (`Ended`), by whoever ends it or by the worker. The claim lets one payment begin, however
often it is called. The card waits sealed; its security code is blinded before that with the token, which is kept
nowhere: it comes back with the payer, or not at all. Nothing of an issuer's one-time code is kept.

A row is found by its merchant and the hash of the token's `jti` (256 random bits); the token itself is signed, and says
whose it is (R-33).
"""

import asyncio
import base64
import hashlib
import re
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from msgspec import Struct
from msgspec.structs import replace

from kessai import ids
from kessai.authentication import flow, issuer
from kessai.authentication.flow import Authentication, Event, Marks
from kessai.claims import bound_to, claim_of
from kessai.log import log
from kessai.payment.card import Card, Pan, SecurityCode
from kessai.payment.lifecycle import Refusal
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money
from kessai.payment.proof import Proof
from kessai.storage.authentications import (
    AddAuthentication,
    ChangeAuthentication,
    EndAuthentication,
    Kept,
    PurgeAuthentications,
    due,
    find_authentication,
    find_challenge,
    oldest,
)
from kessai.storage.database import Database
from kessai.storage.payments import Claim
from kessai.transients import FlexKeys
from kessai.vault import Vault

LIFE: Final = timedelta(minutes=30)
"""How long a challenge may be answered."""
USABLE: Final = timedelta(days=28)
"""How long a payment may use an authentication; the claim of the one that does is remembered a little longer."""
KEPT: Final = timedelta(days=31)
TAKEN_OVER: Final = timedelta(minutes=2)
"""After which the worker ends what the process that began it has not."""
PURGED_EVERY: Final = timedelta(hours=1)
PATIENCE_S: Final = 20.0
"""How long a second answer waits for the payment that the first one let begin."""
CHALLENGE_PAGE: Final = "/integration/3ds"
"""Where a payer who is sent away answers: with the token as `_token`; other parameters are ignored."""
PURPOSE: Final = "challenge"
"""Of the installation's key that signs tokens."""
ISSUER: Final = "Kessai 3-D Secure"
TOKEN_LIMIT: Final = 4_000
PAGE: Final = 50
_NAME_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
NAME: Final = re.compile(r"[A-Za-z0-9]{20}", re.ASCII)
_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_SIGNED: Final = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)
_CODE_BYTES: Final = 4


class Asked(Struct, frozen=True, kw_only=True):
    """What is to be authenticated."""

    card: Card
    amount: Money
    shop: str = ""
    """The merchant's name for the payer; its id where it has none."""
    return_url: str = ""
    decline_url: str = ""
    scenario: str | None = None
    """Named by a test merchant."""
    wants_challenge: bool = False
    wire: str | None = None
    """Whose payment waits for a challenge; None: nobody's."""
    document: bytes = b""
    """What that wire wants to know again. Neither card nor secret."""


class Begun(Struct, frozen=True, kw_only=True):
    name: str
    """By which its merchant knows it: 20 letters and digits, random."""
    authentication: Authentication
    token: str | None = None
    """For the payer's browser, where there is a challenge."""


class Usable(Struct, frozen=True, kw_only=True):
    """What a payment uses: flags for the command, and what goes into its `Circumstances`."""

    authentication: Authentication
    flags: frozenset[str]
    proof: Proof
    claim: Claim


class Ended(Struct, frozen=True, kw_only=True):
    """A challenge that a payment waited for. `card` has its security code where the payer came back."""

    merchant: Merchant
    name: str
    card: Card
    document: bytes
    usable: Usable


Continue = Callable[[Ended], Awaitable[bool | None]]
"""Performs the payment that waited; whether the payer goes to the address of a success. None: its outcome is open, ask
later. It may be called again for the same one, by another process or after a crash: with the claim in its commit 1 it
is told what the first was told (or IN_PROGRESS; OUTCOME_UNKNOWN where a crash came between, which is undone)."""


class StillOpen(Exception):
    """A payment that waited is under way elsewhere."""


class Challenge(Struct, frozen=True, kw_only=True):
    """A challenge as its payer meets it."""

    merchant: Merchant
    kept: Kept
    authentication: Authentication
    jti: str
    is_over: bool
    """Whether its time has passed unanswered."""

    @property
    def destination(self) -> str:
        """Where the payer goes; empty: nowhere."""
        found = self.authentication
        is_good = self.kept.went == "success" if self.kept.wire is not None else not found.has_failed
        return found.return_url if is_good else found.decline_url or found.return_url

    @property
    def waits(self) -> bool:
        """Whether a payment that waited has not ended yet."""
        return self.kept.wire is not None and self.kept.went is None and not self.authentication.is_challenged


class Authenticator:
    """`merchant_of` finds a merchant, `clock` gives aware UTC of the wall; `sealed` calls what seals."""

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        keys: FlexKeys,
        merchant_of: Callable[[str], Merchant | None],
        new_id: Callable[[], int],
        clock: Callable[[], datetime],
        sealed: Callable[[Callable[[], bytes]], Awaitable[bytes]],
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.clock = clock
        self.continuations: dict[str, Continue] = {}
        """Wire to what goes on with its payments."""
        self._database = database
        self._vault = vault
        self._keys = keys
        self._merchant_of = merchant_of
        self._new_id = new_id
        self._sealed = sealed
        self._random = random
        self._purged: dict[str, datetime] = {}
        self._ending: dict[tuple[str, int], asyncio.Task[None]] = {}

    # ---- at a signed request

    async def begin(self, merchant: Merchant, asked: Asked) -> Begun:
        """Ask the issuer."""
        named = asked.scenario if merchant.is_test else None
        scenario, version = issuer.scenario_of(asked.card.pan, named, wants_challenge=asked.wants_challenge)
        server, directory, acs = (str(uuid.UUID(bytes=self._random(16), version=4)) for _ in range(3))
        marks = Marks(
            server_id=server,
            directory_server_id=directory,
            acs_id=acs,
            value=base64.b64encode(self._random(20)).decode(),
        )
        found = flow.begin(
            scenario,
            version,
            asked.amount,
            asked.card.brand,
            asked.card.pan.suffix,
            marks,
            shop=asked.shop,
            return_url=asked.return_url,
            decline_url=asked.decline_url,
        )
        name = "".join(secrets.choice(_NAME_LETTERS) for _ in range(20))
        token = await self._keep(merchant, asked, found, name)
        log("cardholder.asked", merchant=merchant.id, authentication=name, scenario=scenario.name, status=_told(found))
        return Begun(name=name, authentication=found, token=token)

    async def _keep(self, merchant: Merchant, asked: Asked, found: Authentication, name: str) -> str | None:
        now, row = self.clock(), self._new_id()
        jti = self._random(32).hex().upper() if found.is_challenged else None
        waits = jti is not None and asked.wire is not None
        card = code = None
        if waits:
            assert jti is not None
            pan, expiry = asked.card.pan, asked.card.expiry
            card = await self._sealed(partial(self._vault.seal_card, merchant.id, row, pan, expiry))
            if asked.card.security_code is not None:
                blinded = _blinded(asked.card.security_code.digits.ljust(_CODE_BYTES).encode(), jti)
                seal = partial(self._vault.seal_secret, merchant.id, str(row), "waiting_code", blinded)
                code = await self._sealed(seal)
        write = AddAuthentication(
            merchant_id=merchant.id,
            id=row,
            name=name,
            key=_hashed(jti) if jti is not None else None,
            document=flow.encode(found),
            fingerprint=self._vault.fingerprint(merchant.id, asked.card.pan),
            expires_at=now + LIFE,
            due_at=now + LIFE if jti is not None else None,
            card=card,
            code=code,
            wire=asked.wire if waits else None,
            waiting=asked.document if waits else None,
        )
        await self._database.write(write)
        return await self._token(merchant, jti, name, found) if jti is not None else None

    async def _token(self, merchant: Merchant, jti: str, name: str, found: Authentication) -> str:
        told = {"OrgUnitId": _unit(merchant), "ReferenceId": found.server_id, "Payload": {"TransactionId": name}}
        return await self._signed(told, jti)

    async def _signed(self, told: Mapping[str, object], jti: str) -> str:
        key, issued = await self._keys.current(PURPOSE), int(self.clock().timestamp())
        claims = {"jti": jti, "iat": issued, "iss": ISSUER, "exp": issued + int(LIFE.total_seconds()), **told}
        head = {"kid": str(key.kid), "typ": "JWT", "alg": "RS256"}
        return jws.serialize_compact(head, msgspec.json.encode(claims), key, registry=_SIGNED)

    async def visit(self, merchant: Merchant, reference: str) -> str:
        """A token for a browser's first visit, which opens nothing."""
        return await self._signed({"OrgUnitId": _unit(merchant), "ReferenceId": reference}, self._random(16).hex())

    async def find(self, merchant: Merchant, name: str) -> tuple[Kept, Authentication] | None:
        """An authentication by its name: one whose challenge has lapsed is told as ended. Others' are unknown."""
        if NAME.fullmatch(name) is None:
            return None
        kept = await find_authentication(self._database, merchant.id, name)
        if kept is None or self.clock() >= ids.made_at(kept.id) + USABLE:
            return None
        found = flow.decode(kept.document)
        return kept, flow.after(found, Event.LAPSED) if self.clock() >= kept.expires_at else found

    async def use(self, merchant: Merchant, name: str, pan: Pan, amount: Money) -> Usable | Refusal:
        """What a payment uses. Nothing is used up before its commit, where a claim that is taken tells
        AUTHENTICATION_SPENT."""
        looked_up = await self.find(merchant, name)
        if looked_up is None:
            return Refusal.AUTHENTICATION_UNKNOWN
        kept, found = looked_up
        is_same_card = kept.fingerprint == self._vault.fingerprint(merchant.id, pan)
        is_covered = found.currency == amount.currency.code and amount.minor <= found.minor
        if not (is_same_card and is_covered):
            return Refusal.AUTHENTICATION_OTHER
        return self.usable(name, found)

    def usable(self, name: str, found: Authentication) -> Usable:
        since = ids.first_of(self.clock() - KEPT)
        claim = claim_of("authentication", name, since=since, taken=Refusal.AUTHENTICATION_SPENT)
        return Usable(
            authentication=found,
            flags=flow.flags_of(found),
            proof=flow.proof_of(found),
            claim=replace(claim, other=Refusal.AUTHENTICATION_SPENT),
        )

    # ---- at a payer's browser

    async def meet(self, token: str) -> Challenge | None:
        """The challenge of a token, ended or not; None for a token that is none of ours."""
        named = await self._read(token)
        merchant = self._merchant_of(named[0]) if named is not None else None
        if named is None or merchant is None:
            return None
        kept = await find_challenge(self._database, merchant.id, _hashed(named[1]))
        if kept is None:
            return None
        found, is_over = flow.decode(kept.document), self.clock() >= kept.expires_at
        return Challenge(
            merchant=merchant,
            kept=kept,
            authentication=found,
            jti=named[1],
            is_over=is_over and (found.is_challenged or found.cancel == "04"),
        )

    async def answer(self, token: str, event: Event) -> Challenge | None:
        """What a payer does with a challenge. The one that has ended already stays as it is.

        A payment that waited has ended when this returns, or goes on without this caller (`Challenge.waits`).
        """
        while True:
            met = await self.meet(token)
            if met is None:
                return None
            if not met.authentication.is_challenged:
                break
            if await self._change(met.kept, met.authentication, Event.LAPSED if met.is_over else event):
                met = await self.meet(token)
                assert met is not None, "an authentication that was answered has gone"
                break
        if not met.waits:
            return met
        await self._end(met.merchant, met.kept, met.authentication, met.jti)
        return await self.meet(token)

    async def _change(self, kept: Kept, before: Authentication, event: Event) -> bool:
        found = flow.after(before, event)
        due_at: datetime | None = kept.expires_at
        if not found.is_challenged:
            due_at = self.clock() + TAKEN_OVER if kept.wire is not None else None
        write = ChangeAuthentication(
            merchant_id=kept.merchant_id,
            id=kept.id,
            version=kept.version,
            document=flow.encode(found),
            due_at=due_at,
        )
        if not await self._database.write(write):
            return False
        if not found.is_challenged:
            log("cardholder.answered", merchant=kept.merchant_id, authentication=kept.name, status=_told(found))
        return True

    # ---- the payment that waits

    async def _end(self, merchant: Merchant, kept: Kept, found: Authentication, jti: str | None) -> None:
        """Let the payment go on, once in this process; a browser that hangs up does not stop it."""
        place = merchant.id, kept.id
        task = self._ending.get(place)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._continued(merchant, kept.name, found, jti))
            self._ending[place] = task
            task.add_done_callback(partial(self._has_ended, place))
        with suppress(TimeoutError, StillOpen):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.shield(task)

    def _has_ended(self, place: tuple[str, int], task: "asyncio.Task[None]") -> None:
        self._ending.pop(place, None)
        if not task.cancelled():
            task.exception()  # whoever waits for it has seen it; the worker tries again

    async def _continued(self, merchant: Merchant, name: str, found: Authentication, jti: str | None) -> None:
        kept = await find_authentication(self._database, merchant.id, name)  # somebody may have been quicker
        if kept is None or kept.went is not None:
            return
        go_on = self.continuations.get(kept.wire or "")
        assert go_on is not None, f"no wire is called {kept.wire}"
        assert kept.card is not None, "a payment that waits has a card"
        card = self._vault.open_card(merchant.id, kept.id, kept.card)
        code = None
        if kept.code is not None and jti is not None:
            blinded = self._vault.open_secret(merchant.id, str(kept.id), "waiting_code", kept.code)
            code = SecurityCode(_blinded(blinded, jti).decode().strip())
        ended = Ended(
            merchant=merchant,
            name=kept.name,
            card=replace(card, security_code=code, brand=found.brand),
            document=kept.waiting or b"",
            usable=self._once(merchant, self.usable(kept.name, found), kept.name),
        )
        is_good = await go_on(ended)
        if is_good is None:
            raise StillOpen
        went = "success" if is_good else "decline"
        await self._database.write(EndAuthentication(merchant_id=merchant.id, id=kept.id, went=went))

    @staticmethod
    def _once(merchant: Merchant, usable: Usable, name: str) -> Usable:
        """The same for a payment that waits: who performs it again is told what the first was told."""
        claim = replace(usable.claim, request=bound_to(merchant.id, name.encode()), taken=None)
        return replace(usable, claim=claim)

    # ---- what time brings

    async def tend(self, merchant: Merchant) -> None:
        """End challenges whose time has passed, and payments that a process left; forget what is old."""
        now = self.clock()
        for kept in await due(self._database, merchant.id, now, PAGE):
            found = flow.decode(kept.document)
            if found.is_challenged:
                await self._change(kept, found, Event.LAPSED)
                again = await find_authentication(self._database, merchant.id, kept.name)
                if again is None or flow.decode(again.document).is_challenged:
                    continue
                kept, found = again, flow.decode(again.document)  # noqa: PLW2901 - the same, as it stands now
            if kept.wire is not None and kept.went is None:
                await self._try_to_end(merchant, kept, found)
        last = self._purged.get(merchant.id)
        if last is not None and last <= now < last + PURGED_EVERY:
            return
        self._purged[merchant.id] = now
        first, before = await oldest(self._database, merchant.id), ids.first_of(now - KEPT)
        if first is not None and first < before:
            await self._database.write(PurgeAuthentications(merchant.id, before))

    async def _try_to_end(self, merchant: Merchant, kept: Kept, found: Authentication) -> None:
        """End one payment that waited; one that cannot be ended comes again later, and keeps nobody waiting."""
        try:
            await self._end(merchant, kept, found, None)
        except Exception as error:
            log("cardholder.fault", level="error", merchant=merchant.id, error=type(error).__name__)
        later = self.clock() + TAKEN_OVER  # where it has ended, its version is another
        write = ChangeAuthentication(
            merchant_id=merchant.id, id=kept.id, version=kept.version, document=kept.document, due_at=later
        )
        await self._database.write(write)

    # ---- tokens

    async def visited(self, token: str) -> str | None:
        """The reference of a first visit; None for what is no token of ours."""
        claims = await self._claims(token)
        return str(claims["ReferenceId"]) if claims is not None else None

    async def _read(self, token: str) -> tuple[str, str] | None:
        """Whose token it is, and its name. Its time is told by its row."""
        claims = await self._claims(token)
        if claims is None:
            return None
        return base64.urlsafe_b64decode(claims["OrgUnitId"]).decode(), str(claims["jti"])

    async def _claims(self, token: str) -> dict[str, Any] | None:
        if len(token) > TOKEN_LIMIT or _JWT.fullmatch(token) is None:
            return None
        kid = _part(token.partition(".")[0]).get("kid")
        key = await self._keys.find(kid if isinstance(kid, str) and len(kid) <= 64 else None, PURPOSE)
        return _verified(token, key) if key is not None else None


def _part(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _verified(token: str, key: RSAKey) -> dict[str, Any] | None:
    try:
        claims = msgspec.json.decode(jws.deserialize_compact(token, key, registry=_SIGNED).payload)
    except (JoseError, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) and claims.get("iss") == ISSUER else None


def _unit(merchant: Merchant) -> str:
    """Whose a token is."""
    return base64.urlsafe_b64encode(merchant.id.encode()).decode()


def _hashed(jti: str) -> bytes:
    return hashlib.sha256(b"kessai challenge " + jti.encode()).digest()


def _blinded(code: bytes, jti: str) -> bytes:
    """A code under a pad that only the token gives, and that is used for this one code; and back again."""
    pad = hashlib.sha256(b"kessai waiting code " + jti.encode()).digest()
    return bytes(octet ^ other for octet, other in zip(code, pad, strict=False))


def _told(found: Authentication) -> str:
    return found.status.name.lower()
