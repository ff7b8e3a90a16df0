"""What card networks and issuers tell behind the answers: network tokens that were asked for, cards that change.

Run by the worker of every process, for each merchant; two at once are settled by the commits. What is pending is a row,
so that a process that ends loses nothing. Cards are looked through once a month of business time, as issuers' batches
are (洗替): what a process did not finish, the next one begins again, and finds only what is left.
"""

from functools import partial
from typing import Final

from kessai.log import log
from kessai.payment.card import Pan
from kessai.payment.merchant import Merchant
from kessai.storage.payments import Answer
from kessai.tokenizer import Decided, Tokenizer
from kessai.tokens import rules, updates
from kessai.tokens.objects import Missing, NetworkToken, State
from kessai.tokens.rules import Changes
from kessai.tokens.updates import Notice, Number

PAGE: Final = 100
_NOTHING_TOLD: Final = Answer(204, b"")


class Networks:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._make = tokenizer
        self._tokens = tokenizer.tokens
        self._asked: dict[str, str] = {}
        """The month in which the issuers of a merchant's cards were last asked."""

    async def tend(self, merchant: Merchant) -> None:
        """Whatever there is to do for a merchant's tokens."""
        await self.provide(merchant)
        await self.update(merchant)

    # ---- network tokens

    async def provide(self, merchant: Merchant) -> int:
        """Ask the networks for what is pending; how many answers there were."""
        pending = await self._tokens.pending(merchant.id, PAGE)
        for token_id in pending:
            told: list[NetworkToken] = []
            if await self._make.perform(merchant.id, partial(self._provided, merchant, token_id, told)) and told:
                token = told[-1]
                reason = str(token.document.get("reason", ""))
                log("token.provided", merchant=merchant.id, token=token.id, state=token.state.value, reason=reason)
        return len(pending)

    async def _provided(self, merchant: Merchant, token_id: str, tries: list[NetworkToken]) -> Decided | None:
        token = await self._tokens.network_token(merchant.id, token_id)
        if isinstance(token, Missing) or token.state is not State.PENDING:
            return None  # somebody else was quicker
        instrument = await self._tokens.instrument_identifier(merchant.id, token.instrument)
        if isinstance(instrument, Missing):
            return Decided(Changes((), (rules.gone(token, self._make.clock()),)), _NOTHING_TOLD)
        told = await self._make.provided(merchant.id, token, instrument, self._month(merchant))
        tries.append(told)
        return Decided(Changes((), (told, rules.seen(instrument))), _NOTHING_TOLD)

    # ---- the account updater

    async def update(self, merchant: Merchant) -> int:
        """Ask the issuers of cards that expire, once a month; how many cards changed."""
        month = self._month(merchant)
        if not merchant.is_test or self._asked.get(merchant.id) == month:
            return 0  # no live issuer can be asked
        after, changed = "", 0
        while page := await self._tokens.expiring(merchant.id, month, after, PAGE):
            for instrument_id in dict.fromkeys(instrument for _, instrument in page):
                told: list[Notice] = []
                decide = partial(self._updated, merchant, instrument_id, month, told)
                if await self._make.perform(merchant.id, decide):
                    changed += 1
                    log("card.updated", merchant=merchant.id, token=instrument_id, notice=told[-1].name.lower())
            after = page[-1][0]
        self._asked[merchant.id] = month
        return changed

    async def _updated(self, merchant: Merchant, instrument_id: str, month: str, tries: list[Notice]) -> Decided | None:
        instrument = await self._tokens.instrument_identifier(merchant.id, instrument_id)
        if isinstance(instrument, Missing) or instrument.state is not State.ACTIVE or not instrument.is_card:
            return None
        card = self._make.number(merchant.id, instrument)
        notice = updates.notice_of(card) if isinstance(card, Pan) else None
        if notice is None or not isinstance(card, Pan):
            return None
        referring = await self._tokens.referring(merchant.id, instrument.id)
        if not any(token.expiry and token.expiry <= month for token in referring):
            return None  # renewed already, with another payment instrument of the same card
        token = await self._tokens.network_token_of(merchant.id, instrument.id)
        number = await self._another(merchant, instrument.id, card) if notice is Notice.REPLACED else None
        told = updates.update(instrument, referring, token, month, notice, number)
        changes = updates.noted(told, instrument, month, notice)
        if changes is None:
            return None
        tries.append(notice)
        return Decided(changes, _NOTHING_TOLD)

    async def _another(self, merchant: Merchant, instrument_id: str, card: Pan) -> Number | None:
        """A new number for a card; None where it happens to be known already: then only the expiry is new."""
        new = updates.another(card, int.from_bytes(self._make.random(16)))
        fingerprint = self._make.fingerprint(merchant.id, new)
        if await self._tokens.by_fingerprint(merchant.id, fingerprint) is not None:
            return None
        sealed = await self._make.seal(merchant.id, instrument_id, new)
        return Number(new.masked(), new.suffix, fingerprint, sealed)

    def _month(self, merchant: Merchant) -> str:
        return f"{merchant.at(self._make.clock()):%Y-%m}"
