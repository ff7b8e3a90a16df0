"""Encrypted messages on their way through the edge: opened before they are read, sealed before they are sent."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple

from joserfc.jwk import RSAKey
from msgspec.structs import replace

from kessai.accounts import Account, Accounts
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.cybersource import auth, envelope, jwt
from kessai.dialects.cybersource.envelope import Unreadable
from kessai.storage.payments import Claim


class Known(NamedTuple):
    """The account of a verified request, what its signature claims, and the key that its answer is encrypted to."""

    account: Account
    signature: tuple[Claim, ...]
    kid: str | None


def wanted(claimed: auth.Claim) -> str | None:
    """The key that a verified token wants its answer encrypted to."""
    return claimed.parts.claims.response_mle_kid if isinstance(claimed.parts, jwt.Token) else None


async def through(
    accounts: Accounts,
    known: Known,
    request: HttpRequest,
    now: datetime,
    answer: Callable[[HttpRequest], Awaitable[HttpResponse]],
    failed: Callable[[Exception, HttpRequest], HttpResponse],
    refuse: Callable[[str | None], HttpResponse],
) -> HttpResponse:
    """What `answer` says to the opened request, or `failed` to its exception: sealed where a `kid` is named.

    `refuse` makes an answer of a reason, which test merchants are told. An answer that could not be sealed is never
    begun. None is sealed that has no body.
    """
    account, kid = known.account, known.kid

    def refused(reason: str) -> HttpResponse:
        return refuse(reason if account.merchant.is_test else None)

    key = _key_of(account, kid) if kid is not None else None
    if kid is not None and key is None:
        return refused("v-c-response-mle-kid is not of a certificate that was registered for this merchant")
    opened = await _opened(accounts, request)
    try:
        response = refused(opened.reason) if isinstance(opened, Unreadable) else await answer(opened)
    except Exception as error:
        response = failed(error, request)
    if kid is None or key is None or not response.body:
        return response
    return replace(response, body=envelope.seal(response.body, kid, key, int(now.timestamp())))


async def _opened(accounts: Accounts, request: HttpRequest) -> HttpRequest | Unreadable:
    if not envelope.is_sealed(request.body):
        return request
    sealed = envelope.read(request.body)
    if isinstance(sealed, Unreadable):
        return sealed
    if sealed.kid not in accounts.messages.keys:
        await accounts.refresh()  # another process may have made the pair a moment ago
    body = envelope.unseal(sealed, accounts.messages.keys)
    return body if isinstance(body, Unreadable) else replace(request, body=body)


def _key_of(account: Account, kid: str) -> RSAKey | None:
    """The key registered for answers; else that of a certificate which the merchant signs with."""
    registered = account.answer_keys.get(kid) or account.keys.get(kid)
    return RSAKey.import_key(registered.public_key) if isinstance(registered, auth.Certificate) else None


def to_merchant(account: Account, body: bytes, now: datetime) -> str | None:
    """A text that only the merchant opens, encrypted to a key of its own; None where it has none.

    The newest key for answers; else that of the newest certificate which it signs with.
    """
    for kid in (*reversed(account.answer_keys), *reversed(account.keys)):
        key = _key_of(account, kid)
        if key is not None:
            return envelope.jose(body, kid, key, int(now.timestamp()))
    return None
