"""What of a request is kept with its payment, to be shown back by the transaction details. Pure.

`members.txt` beside this module lists every member that the requests of the payments family know; two tables here take
out what is never kept. Kept is what is on the list and in neither: a member nobody thought of is dropped, not stored.
Members that decide behaviour are read by the message tables; here they are only remembered as they were sent.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final, NamedTuple

from kessai.dialects.document import Number, has_bad_characters

SECRET: Final[dict[str, str]] = {
    path: why
    for why, paths in {
        "a card number, or what pays like one": (
            "paymentInformation.card.number",
            "paymentInformation.tokenizedCard.number",
            "paymentInformation.thirdPartyToken.id",
            "paymentInformation.tokenizedPaymentMethod.id",
            "senderInformation.account.number",
            "recipientInformation.accountId",
        ),
        "sensitive authentication data (PCI DSS 3.3.1)": (
            "paymentInformation.card.securityCode",
            "paymentInformation.tokenizedCard.securityCode",
            "pointOfSaleInformation.trackData",
            "processingInformation.japanPaymentOptions.jis2TrackData",
            "pointOfSaleInformation.emv.tags",
            "pointOfSaleInformation.encryptedPin",
        ),
        "read from the track": ("pointOfSaleInformation.serviceCode",),
        "tells how a PIN block is opened": (
            "pointOfSaleInformation.encryptedKeySerialNumber",
            "pointOfSaleInformation.encryptedKeyId",
            "pointOfSaleInformation.pinBlockEncodingFormat",
        ),
        "a card under a wallet's or a terminal's encryption": (
            "paymentInformation.fluidData.value",
            "paymentInformation.fluidData.descriptor",
            "paymentInformation.fluidData.keySerialNumber",
            "paymentInformation.fluidData.encoding",
        ),
        "proves a cardholder's authentication, for one use": (
            "paymentInformation.tokenizedCard.cryptogram",
            "consumerAuthenticationInformation.cavv",
            "consumerAuthenticationInformation.xid",
            "consumerAuthenticationInformation.ucafAuthenticationData",
            "consumerAuthenticationInformation.signedPares",
            "consumerAuthenticationInformation.responseAccessToken",
            "consumerAuthenticationInformation.alternateAuthenticationData",
            "consumerAuthenticationInformation.priorAuthenticationData",
            "tokenInformation.tokenAuthenticationInformation.authenticatedIdentities[].data",
        ),
        "whoever holds it may pay": (
            "tokenInformation.transientTokenJwt",
            "tokenInformation.jti",
            "processorInformation.authApprovalToken",
            "processorInformation.preApprovalToken",
            "processorInformation.reversal.preApprovalToken",
            "buyerInformation.walletId",
        ),
        "a bank account": (
            "paymentInformation.bank.account.number",
            "paymentInformation.bank.account.iban",
            "paymentInformation.bank.iban",
            "paymentInformation.bank.accountAlias.id",
        ),
        "a password": ("buyerInformation.hashedPassword", "acquirerInformation.password"),
        "sent to be kept secret": (
            "merchantDefinedSecureInformation.secure1",
            "merchantDefinedSecureInformation.secure2",
            "merchantDefinedSecureInformation.secure3",
            "merchantDefinedSecureInformation.secure4",
        ),
        "says who a person is to the authorities": (
            "buyerInformation.personalIdentification[].id",
            "buyerInformation.dateOfBirth",
            "senderInformation.taxIdNumber",
            "recipientInformation.taxIdNumber",
            "recipientInformation.dateOfBirth",
        ),
    }.items()
    for path in paths
}
"""Members that live for one exchange at most, each with the reason."""

DROPPED: Final[dict[str, str]] = {
    "deviceInformation.rawData[].data": "a block of data with no use after the decision",
    "processorInformation.supplementaryTransactionData": "a block of data with no use after the decision",
}
"""Members that are no secrets, and yet not kept."""

UNSTATED_LENGTH: Final = 2_048
"""Characters allowed where the public reference states no length."""


class Member(NamedTuple):
    """A row of the reference page."""

    path: str
    type: str
    """text, number or boolean; on the wire each of them may arrive as any other."""
    length_chars: int | None
    """None where the public reference states no length."""
    fate: str
    """kept, dropped or secret."""


def rows() -> Iterator[Member]:
    """Every known member, in the order of the public reference, with what becomes of it."""
    for line in _TEXT.splitlines():
        if not line.startswith("#"):
            path, kind, length = line.split(" ")
            fate = "secret" if path in SECRET else "dropped" if path in DROPPED else "kept"
            yield Member(path, kind, None if length == "-" else int(length), fate)


def keep(
    document: Mapping[str, object], known: "Place | None" = None
) -> tuple[dict[str, object], tuple[str, ...], tuple[str, ...]]:
    """What to keep of a request, the paths of bad values, and the paths of values longer than the reference allows.

    Kept are known, harmless members that say something (null and the empty text do not): texts as sent, numbers as
    their text, booleans as they are, arrays entry by entry with their nulls; objects left with nothing are left out.
    Bad is a text with bad characters, an object or array in the place of a scalar, and the reverse. An array's entries
    are numbered from 0 in paths: `orderInformation.lineItems[0].unitPrice`. A value that is reported is not kept.
    `known` is what other families know (`compiled`).
    """
    report = _Report()
    return _members(document, (known or _ROOT).members, "", report), tuple(report.bad), tuple(report.overlong)


@dataclass(frozen=True, slots=True)
class _Report:
    bad: list[str] = field(default_factory=list)
    overlong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Place:
    """What may stand at a path: a scalar, an object, an array, or more than one of them (bonuses, company)."""

    length_chars: int = -1
    """The longest scalar; -1 where no scalar may stand."""
    members: dict[str, "Place"] = field(default_factory=dict)
    entry: "Place | None" = None


def _members(found: Mapping[str, object], known: dict[str, Place], prefix: str, report: _Report) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, value in found.items():
        place = known.get(name)
        if place is None or value is None or value == "":
            continue
        if type(value) is str and len(value) <= place.length_chars and value.isprintable():
            kept[name] = value  # nearly every member goes this way
            continue
        result = _value(value, place, prefix + name, report)
        if result is not None and result not in ({}, []):
            kept[name] = result
    return kept


def _value(value: object, place: Place, path: str, report: _Report) -> object:
    """What is kept of a value that says something; None, with a line in the report, when it is refused."""
    if isinstance(value, dict) and place.members:
        return _members(value, place.members, path + ".", report)
    if isinstance(value, list) and place.entry is not None:
        return _entries(value, place.entry, path, report)
    if place.length_chars < 0 or not isinstance(value, str | int):
        report.bad.append(path)
        return None
    if isinstance(value, bool):
        return value
    if type(value) is int and value.bit_length() > _LONGEST_INT_BITS:
        report.overlong.append(path)
        return None
    text = str(value)
    if len(text) > place.length_chars:
        report.overlong.append(path)
        return None
    if type(value) is not Number and has_bad_characters(text):
        report.bad.append(path)
        return None
    return text


def _entries(found: list[object], place: Place, path: str, report: _Report) -> list[object]:
    return [
        entry if entry is None or entry == "" else _value(entry, place, f"{path}[{index}]", report)
        for index, entry in enumerate(found)
    ]


def compiled(known: Iterable[Member]) -> Place:
    """Rows as the tree along which a document is walked."""
    root = Place()
    for row in known:
        if row.fate != "kept":
            continue
        place = root
        for step in row.path.split("."):
            name = step.removesuffix("[]")
            place = place.members.setdefault(name, Place())
            if name != step:
                place.entry = place.entry or Place()
                place = place.entry
        place.length_chars = row.length_chars or (UNSTATED_LENGTH if row.type != "boolean" else len("false"))
    return root


_LONGEST_INT_BITS: Final = UNSTATED_LENGTH * 3  # writing out a longer one would cost more than it tells
_TEXT: Final = files("kessai.dialects.cybersource").joinpath("members.txt").read_text("utf-8")
_ROOT: Final = compiled(rows())
