"""Flow: an authentication from its beginning to its end, as a state machine. Pure.

    begin ─┬─► concluded                        frictionless, attempted, failed, rejected, unavailable
           └─► challenged ─┬─ right code ─────► concluded: what the issuer's scenario says
                           ├─ wrong code ─────► challenged; concluded as failed after the third
                           ├─ cancelled ──────► concluded as failed
                           └─ lapsed ─────────► concluded as failed

What is concluded stays as it is, whatever comes later.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kessai.authentication.issuer import MOST_TRIES, RIGHT_CODE, SCENARIOS, Scenario, Status
from kessai.authentication.networks import said_by
from kessai.payment.card import Brand
from kessai.payment.money import CURRENCIES, Money
from kessai.payment.proof import Proof
from kessai.payment.word import Word


class Event(Word):
    """What can happen to a challenge."""

    RIGHT = "the right code"
    WRONG = "a wrong code"
    CANCELLED = "the cardholder cancels"
    LAPSED = "its time passes"


class Authentication(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One authentication. It knows nothing of the card but its brand and its last four digits."""

    scenario: str
    status: Status
    brand: Brand | None
    suffix: str
    minor: int
    currency: str
    version: str
    server_id: str
    """UUIDs of the 3-D Secure server, the directory server and the issuer's access control server."""
    directory_server_id: str
    acs_id: str
    value: str
    """20 octets in base64: the authentication value, should the issuer give one."""
    tries: int = 0
    cancel: str = ""
    """Why a challenge broke off (`challengeCancelCode` of EMV 3DS): 01 cancelled, 04 its time passed."""
    was_challenged: bool = False
    shop: str = ""
    """What the challenge page calls the merchant."""
    return_url: str = ""
    """Where the browser goes afterwards; empty: nowhere."""
    decline_url: str = ""
    """Where it goes instead after a failure; empty: to the same place."""

    @property
    def is_challenged(self) -> bool:
        return self.status is Status.CHALLENGE

    @property
    def is_proven(self) -> bool:
        """Whether the issuer or the network vouches for it."""
        return self.status in (Status.AUTHENTICATED, Status.ATTEMPTED)

    @property
    def has_failed(self) -> bool:
        """Whether no payment may come of it. One that is unavailable is no failure: it may, without a guarantee."""
        return self.status in (Status.FAILED, Status.REJECTED)

    @property
    def amount(self) -> Money:
        return Money(self.minor, CURRENCIES[self.currency])

    @property
    def played(self) -> Scenario:
        return SCENARIOS[self.scenario]


class Marks(Struct, frozen=True, kw_only=True):
    """What is random about an authentication, made by the shell: three UUIDs and 20 octets in base64."""

    server_id: str
    directory_server_id: str
    acs_id: str
    value: str


def begin(
    scenario: Scenario,
    version: str,
    amount: Money,
    brand: Brand | None,
    suffix: str,
    marks: Marks,
    *,
    shop: str = "",
    return_url: str = "",
    decline_url: str = "",
) -> Authentication:
    """What the issuer says at once."""
    return Authentication(
        scenario=scenario.name,
        status=scenario.status,
        was_challenged=scenario.status is Status.CHALLENGE,
        brand=brand,
        suffix=suffix,
        minor=amount.minor,
        currency=amount.currency.code,
        version=version,
        server_id=marks.server_id,
        directory_server_id=marks.directory_server_id,
        acs_id=marks.acs_id,
        value=marks.value,
        shop=shop,
        return_url=return_url,
        decline_url=decline_url,
    )


def event_of(code: str) -> Event:
    """What a typed code is; spaces and full-width digits are forgiven."""
    plain = "".join(code.split()).translate(_WIDE)
    return Event.RIGHT if plain == RIGHT_CODE else Event.WRONG


_WIDE: Final = str.maketrans("０１２３４５６７８９", "0123456789")


def after(now: Authentication, event: Event) -> Authentication:
    """What an authentication becomes. The same where nothing can happen to it any more."""
    if not now.is_challenged:
        return now
    match event:
        case Event.RIGHT:
            ends = now.played.ends
            assert ends is not None, "a scenario with a challenge has an end"
            return replace(now, status=ends)
        case Event.WRONG:
            tries = now.tries + 1
            return replace(now, tries=tries, status=Status.FAILED if tries >= MOST_TRIES else now.status)
        case Event.CANCELLED:
            return replace(now, status=Status.FAILED, cancel="01")
        case Event.LAPSED:
            return replace(now, status=Status.FAILED, cancel="04")


TRANSITIONS: Final[Mapping[Event, str]] = {
    Event.RIGHT: "what the scenario says: `Y`, `N` or `U`",
    Event.WRONG: f"a challenge still; `N` after {MOST_TRIES} of them",
    Event.CANCELLED: "`N`, with cancel code 01",
    Event.LAPSED: "`N`, with cancel code 04",
}
"""What a challenge becomes, in words, for the printed page; a test compares it with `after`."""


def proof_of(found: Authentication) -> Proof:
    """What the issuer is told with the payment."""
    said = said_by(found.brand, found.status)
    value = found.value if found.is_proven else ""
    return Proof(
        eci=said.eci,
        status=found.status.value,
        value=value,
        xid=value if found.brand is not Brand.MASTERCARD else "",
        directory_server_id=found.directory_server_id if found.played.enrolled == "Y" else "",
        version=found.version,
    )


def flags_of(found: Authentication) -> frozenset[str]:
    """Flags of the payment that uses it: `lifecycle.FLAGS`."""
    if found.is_proven:
        return frozenset({"authenticated"})
    return frozenset({"authentication-failed"}) if found.has_failed or found.is_challenged else frozenset()


encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Authentication).decode
