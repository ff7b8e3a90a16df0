"""Reading a transaction back: what its merchant was answered, and the id that it has on the other wire.

A transaction that came over the other wire was answered in that one's words; here it is told in ours, from its payment.
"""

from typing import Final

import msgspec

from kessai.dialects import HttpResponse
from kessai.dialects.cybersource import answers
from kessai.dialects.cybersource.echo import echo_of
from kessai.dialects.paymentoptions import identifiers
from kessai.dialects.paymentoptions.answers import is_one
from kessai.payment.lifecycle import Operation
from kessai.storage.payments import Payments

_EXTENSION: Final = b',"kessaiInformation":{"paymentOptionsId":"%s"}}'
"""Behind what was answered: a member of ours."""


async def read_back(
    payments: Payments, merchant_id: str, identifier: int, expects: frozenset[Operation]
) -> HttpResponse | None:
    """The answer that a transaction had, with its other id; None where there is none of this kind."""
    stored = await payments.answer(merchant_id, identifier)
    if stored is None or stored[0] not in expects:
        return None
    status, body = stored[1].status, stored[1].body
    if is_one(body):
        found = await payments.load(merchant_id, identifier)
        transaction = found.payment.find(identifier) if found is not None else None
        assert found is not None, "an answer without its transaction was kept"
        assert transaction is not None, "a payment was found by a transaction that is not in it"
        kept = msgspec.json.decode(transaction.particulars or b"{}", type=dict[str, object])
        status, body = answers.encode(found.payment, transaction, echo_of(kept))
    if status != 201:
        return None
    return HttpResponse(200, body[:-1] + _EXTENSION % identifiers.show(identifier).encode())
