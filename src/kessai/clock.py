"""The sandbox's clock over the wire: where a test merchant's business time is told, and moved on.

    GET  /sandbox/v1/clock
    POST /sandbox/v1/clock   {"advance": "1mo"} or {"to": "2027-01-31T00:00:00Z"}

Kessai's own: no other service has these paths. Signed as every request is; for live merchants there is no such path.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from kessai import sandbox
from kessai.accounts import Account, Accounts
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.document import Malformed, parse
from kessai.edge import Handler, Repeated
from kessai.log import log
from kessai.once import once
from kessai.payment.lifecycle import Refusal
from kessai.sandbox import NotMoved
from kessai.storage.database import Database
from kessai.storage.payments import Claim

PATH: Final = "/sandbox/v1/clock"


class Clocks:
    """The service behind the path, and what the command `kessai clock` does."""

    steps: frozenset[str] = frozenset({"sandbox"})

    def __init__(
        self,
        accounts: Accounts,
        database: Database,
        new_id: Callable[[], int],
        clock: Callable[[], datetime],
        moved: Callable[[], None],
    ) -> None:
        """`clock` is the wall's; `moved` is called after a clock was moved."""
        self._accounts = accounts
        self._database = database
        self._new_id = new_id
        self._clock = clock
        self._moved = moved

    def match(self, method: str, path: str) -> Handler | frozenset[str]:
        if path.rstrip("/") != PATH:
            return frozenset()
        handlers = {"GET": Handler("clock", self._tell), "POST": Handler("clock_move", self._refuse, self._move)}
        return handlers.get(method) or frozenset(handlers)

    async def move(self, account: Account, *, advance: str | None = None, to: str | None = None) -> dict[str, object]:
        """Move a merchant's clock on, by a step or to an instant. NotMoved."""
        now, merchant = self._clock(), account.merchant
        if (advance is None) is (to is None):
            raise NotMoved("a clock is moved either by a step (advance) or to an instant (to)")
        until = sandbox.later(merchant.at(now), advance) if advance is not None else _instant(to or "")
        ahead = await sandbox.move_clock(self._database, merchant, now, until)
        await self._accounts.refresh()
        self._moved()
        log("clock.moved", merchant=merchant.id, ahead_s=int(ahead.total_seconds()))
        return self.shown(self._accounts.get(merchant.id))

    def shown(self, account: Account) -> dict[str, object]:
        """A merchant's business time, and how far it is ahead of the wall."""
        merchant = account.merchant
        return {
            "merchant": merchant.id,
            "now": f"{merchant.at(self._clock()):%Y-%m-%dT%H:%M:%SZ}",
            "aheadSeconds": int(merchant.ahead.total_seconds()),
        }

    async def _tell(self, account: Account, _request: HttpRequest) -> HttpResponse:
        if not account.merchant.is_test:
            return _NO_SUCH_PATH
        return HttpResponse(200, msgspec.json.encode(self.shown(account)))

    async def _refuse(self, _account: Account, _request: HttpRequest) -> HttpResponse:
        return _NO_SUCH_PATH  # a clock is moved under the claims of a signature only

    async def _move(self, account: Account, request: HttpRequest, signature: tuple[Claim, ...]) -> HttpResponse:
        if not account.merchant.is_test:
            return _NO_SUCH_PATH
        document = parse(request.body)
        if isinstance(document, Malformed):
            return _refused(f"the body is {document.reason}")
        advance, to = document.get("advance"), document.get("to")
        if not all(value is None or isinstance(value, str) for value in (advance, to)):
            return _refused("advance and to are texts")

        async def do(_new_id: int) -> HttpResponse:
            try:
                shown = await self.move(account, advance=advance, to=to)  # type: ignore[arg-type] # texts, as checked
            except NotMoved as error:
                return _refused(str(error))
            return HttpResponse(200, msgspec.json.encode(shown))

        told = await once(self._database, account.merchant.id, signature, self._new_id(), do)
        if isinstance(told, Refusal):
            raise Repeated
        return told


_NO_SUCH_PATH: Final = HttpResponse(404, b'{"response":{"rmsg":"Resource not found"}}')


def _refused(why: str) -> HttpResponse:
    return HttpResponse(400, msgspec.json.encode({"errors": [{"type": "invalidRequest", "message": why}]}))


def _instant(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise NotMoved("an instant is written as 2027-01-31T00:00:00Z") from None
