"""Searches of the CyberSource wire: the family `tss` beside the payments, and what transactions are found by.

Two at a time are run in a process, so that payments have the database to themselves for the most part.
"""

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from kessai.accounts import Account
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.cybersource import details, emv, searchable, searches
from kessai.dialects.cybersource.searches import Summary, Wish, Wrong
from kessai.dialects.document import Malformed, parse
from kessai.edge import EXPLANATION, MOST_EXPLAINED, Handler
from kessai.gateway import Gateway
from kessai.log import log
from kessai.payment.card import Pan
from kessai.payment.search import Facets
from kessai.storage.indexing import Indexable
from kessai.storage.search import Finder, TooBroad
from kessai.storage.searches import KeepSearch, read_search

AT_A_TIME: Final = 2
TOGETHER: Final = 25
"""Summaries that are made before others have their turn."""
_STEPS: Final = tuple(searches.PATH.strip("/").split("/"))
_EMV_TAGS: Final = tuple(emv.PATH.strip("/").split("/"))


def describe(found: Indexable) -> Facets | None:
    """What a transaction is found by; None for one that is shown to nobody."""
    if not searchable.is_found(found.transaction.operation):
        return None
    return searchable.facets_of(found.payment, found.transaction, found.root_particulars, found.fingerprint)


class Searches:
    """A `Service` of the edge."""

    steps = frozenset({"tss"})

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._finder = Finder(gateway.database)
        self._turns = asyncio.Semaphore(AT_A_TIME)

    def match(self, method: str, path: str) -> Handler | frozenset[str]:
        steps = tuple(path.strip("/").split("/"))
        if steps == _STEPS:
            return Handler("search", self._create) if method == "POST" else frozenset({"POST"})
        if len(steps) == len(_STEPS) + 1 and steps[:-1] == _STEPS and steps[-1]:
            return Handler("search_read", self._read) if method == "GET" else frozenset({"GET"})
        if steps == _EMV_TAGS:
            answers = {"GET": Handler("emv_tags", _dictionary), "POST": Handler("emv_parse", self._parse)}
            return answers.get(method) or frozenset(answers)
        return frozenset()

    async def _parse(self, account: Account, request: HttpRequest) -> HttpResponse:
        """EMV data taken apart; nothing of it is kept or logged."""
        now = self._gateway.clock()
        document = parse(request.body)
        if isinstance(document, Malformed):
            return _refused(account, Wrong((("emvDetailsList", False),), document.reason), now)
        answer = emv.parsed(document)
        if isinstance(answer, emv.Wrong):
            why = f"{answer.path}: {answer.why}"
            return _refused(account, Wrong(((answer.path, answer.is_missing),), why), now)
        return HttpResponse(200, answer)

    async def _create(self, account: Account, request: HttpRequest) -> HttpResponse:
        now = self._gateway.clock()
        document = parse(request.body)
        if isinstance(document, Malformed):
            return _refused(account, Wrong((("query", False),), document.reason), now)
        wish = searches.read(document, self._fingerprint(account))
        if isinstance(wish, Wrong):
            return _refused(account, wish, now)
        search_id = str(uuid.uuid4())
        response = await self._run(account, request, wish, search_id, now, 201)
        if response.status == 201:
            await self._gateway.database.write(
                KeepSearch(
                    merchant_id=account.merchant.id,
                    id=search_id,
                    is_saved=wish.is_saved,
                    created_at=now,
                    request=msgspec.json.encode(wish),
                )
            )
        return response

    async def _read(self, account: Account, request: HttpRequest) -> HttpResponse:
        search_id = request.path.strip("/").rpartition("/")[2]
        kept = await read_search(self._gateway.database, account.merchant.id, search_id[:36])
        if kept is None or len(search_id) != 36:
            return HttpResponse(404, details.NOT_FOUND)
        wish = msgspec.json.decode(kept[1], type=Wish)
        return await self._run(account, request, wish, search_id, kept[0], 200)

    async def _run(
        self, account: Account, request: HttpRequest, wish: Wish, search_id: str, asked_at: datetime, status: int
    ) -> HttpResponse:
        merchant, now = account.merchant, self._gateway.clock()
        search = searches.search_of(wish, merchant.id, now, self._fingerprint(account))
        if isinstance(search, Wrong):
            return _refused(account, search, now)
        try:
            async with self._turns:
                page = await self._finder.find(merchant.id, search)
                rows = await self._finder.rows(merchant.id, page.ids)
        except TooBroad:
            log("search.abandoned", level="warning", merchant=merchant.id)
            return HttpResponse(502, searches.too_broad(now))
        base_url = f"{request.scheme}://{request.header('host') or 'localhost'}"
        shown: list[bytes] = []
        for row in rows:
            found = Summary(row.payment, row.transaction, row.root_particulars)
            shown.append(searches.summary(found, merchant.personality, base_url))
            if len(shown) % TOGETHER == 0:  # payments come first
                await asyncio.sleep(0)
        return HttpResponse(status, searches.answer(wish, search_id, asked_at, shown, page.total, base_url))

    def _fingerprint(self, account: Account) -> Callable[[str], str]:
        return lambda number: self._gateway.vault.fingerprint(account.merchant.id, Pan(number)).hex()


async def _dictionary(_account: Account, _request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, emv.dictionary())


def _refused(account: Account, wrong: Wrong, now: datetime) -> HttpResponse:
    log("request.refused", status=400, reason="INVALID_DATA", fields=", ".join(path for path, _ in wrong.fields))
    explanation = wrong.explanation.encode("ascii", "replace").decode()[:MOST_EXPLAINED]
    headers = {EXPLANATION: explanation} if account.merchant.is_test else {}
    return HttpResponse(400, searches.refusal(wrong, now), headers)
