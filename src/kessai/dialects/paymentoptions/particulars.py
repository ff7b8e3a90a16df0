"""What of a request is kept with its payment, and read again for answers. Pure.

Kept are the members that every payment of the gateway keeps, whichever wire it came over (`orderInformation.billTo` and
so on), so that searches and details find it; and `paymentOptions`, what only this wire knows. A payment of the other
wire has no such member, and its address is read from the common ones.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from kessai.dialects.document import mask_pans
from kessai.dialects.paymentoptions.messages import Address, Order
from kessai.dialects.table import find
from kessai.payment.lifecycle import Payment, Transaction

OWN: Final = "paymentOptions"
_ADDRESS: Final[Mapping[str, str]] = {
    "country": "country",
    "email": "email",
    "phone_number": "phoneNumber",
    "address1": "address1",
    "city": "locality",
    "state": "administrativeArea",
    "postal_code": "postalCode",
}
"""Members of an address: of this wire, and as every payment keeps them."""


class Own(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What only this wire knows of a payment."""

    name: str = ""
    billing: Address = Address()
    shipping: Address | None = None
    customer_ip: str = ""
    visited_ip: str = ""
    merchant_ip: str = ""
    """Where the request came from; told of payments with a stored payment method."""
    return_url: Mapping[str, str] = {}
    time_zone: str = ""
    token: str = ""
    """The stored payment method that paid, or was made."""
    notes: str = ""


def kept(order: Order, own: Own, expiry: tuple[str, str]) -> bytes:
    """What is kept of an order; `expiry` is month and year of the card, as texts."""
    first, last = names_of(own.name)
    bill_to: dict[str, object] = {"firstName": first, "lastName": last} | common(order.billing)
    whole: dict[str, object] = {"amountDetails": {"currency": order.amount.currency.code}}
    whole["billTo"] = {name: value for name, value in bill_to.items() if value}
    if order.shipping is not None:
        whole["shipTo"] = common(order.shipping)
    members: dict[str, object] = {"orderInformation": whole}
    if order.reference:
        members["clientReferenceInformation"] = {"code": order.reference}
    if order.customer_ip:
        members["deviceInformation"] = {"ipAddress": order.customer_ip}
    members["paymentInformation"] = {"card": {"expirationMonth": expiry[0], "expirationYear": expiry[1]}}
    members[OWN] = msgspec.to_builtins(own)
    return msgspec.json.encode(mask_pans(members))


def kept_of_following(reference: str, notes: str) -> bytes:
    """What is kept of a capture, a refund or a void."""
    members: dict[str, object] = {"clientReferenceInformation": {"code": reference}} if reference else {}
    if notes:
        members[OWN] = {"notes": notes}
    return msgspec.json.encode(mask_pans(members)) if members else b""


def kept_of_each(own: Own) -> dict[str, object]:
    """What every payment of a subscription keeps of its first request, where it is told of at a URL."""
    if not own.return_url.get("webhook_url"):
        return {}
    whole = Own(name=own.name, billing=own.billing, shipping=own.shipping, return_url=own.return_url)
    return {OWN: mask_pans(msgspec.to_builtins(whole))}


def own_of(payment: Payment) -> Own:
    """What this wire shows again of a payment, whichever wire it came over."""
    found = members_of(payment.root)
    own = found.get(OWN)
    if own is not None:
        return msgspec.convert(own, Own)
    order: Any = found.get("orderInformation")
    order = order if isinstance(order, dict) else {}
    bill_to, ship_to = order.get("billTo"), order.get("shipTo")
    bill_to = bill_to if isinstance(bill_to, dict) else {}
    ip = find(found, ("deviceInformation", "ipAddress"))
    return Own(
        name=" ".join(str(bill_to[name]) for name in ("firstName", "lastName") if bill_to.get(name)),
        billing=address_of(bill_to),
        shipping=address_of(ship_to) if isinstance(ship_to, dict) else None,
        customer_ip=ip if isinstance(ip, str) else "",
    )


def members_of(transaction: Transaction) -> dict[str, Any]:
    return msgspec.json.decode(transaction.particulars or b"{}", type=dict[str, Any])


def common(address: Address) -> dict[str, object]:
    """An address as every payment keeps it."""
    return {_ADDRESS[name]: value for name, value in asdict(address).items() if value}


def address_of(members: Mapping[str, object]) -> Address:
    """The reverse."""
    return Address(**{name: str(members[there]) for name, there in _ADDRESS.items() if members.get(there)})


def names_of(name: str) -> tuple[str, str]:
    """First and last name of a cardholder; one word is the last."""
    first, _, last = name.strip().partition(" ")
    return (first, last.strip()) if last else ("", first)
