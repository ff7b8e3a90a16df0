"""Payer authentication on this wire: what its requests say, and what answers show. Pure.

    POST /risk/v1/authentication-setups    a token and an address for the browser's first visit
    POST /risk/v1/authentications          enrolment: the issuer is asked; a challenge may come of it
    POST /risk/v1/authentication-results   what came of the challenge

Payments say the same in their own members: CONSUMER_AUTHENTICATION in the action list asks first, VALIDATE_… takes what
came of it, and without either `consumerAuthenticationInformation` is what somebody else found out.
"""

import base64
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kessai.authentication import flow
from kessai.authentication.flow import Authentication
from kessai.authentication.issuer import Status
from kessai.authentication.networks import said_by
from kessai.authentication.obligation import Order
from kessai.authentication.urls import web_url
from kessai.dialects.cybersource import fields
from kessai.dialects.cybersource.findings import Findings, Problems
from kessai.dialects.cybersource.paid import card_of
from kessai.dialects.cybersource.reasons import AUTHENTICATION_PENDING, DECLINES, Word
from kessai.dialects.cybersource.requests import Request
from kessai.dialects.cybersource.stored import NOTHING_BROUGHT, Supplied
from kessai.dialects.document import has_bad_characters, text_of
from kessai.dialects.table import Table, decode, find, row, table
from kessai.payment.authorize import Authorize
from kessai.payment.card import Brand, Card, looks_like_a_pan
from kessai.payment.lifecycle import Reason
from kessai.payment.merchant import Merchant
from kessai.payment.money import Currency, Money
from kessai.payment.proof import Proof

Json = Mapping[str, object]

PATHS: Final = "/risk/v1/"
ROUTES: Final = (
    ("POST", PATHS + "authentication-setups", "a token and an address for the browser's first visit", 201),
    ("POST", PATHS + "authentications", "enrolment: the issuer is asked, and may want a challenge", 201),
    ("POST", PATHS + "authentication-results", "what came of a challenge", 201),
)
"""Method, path, what is asked for, HTTP status of a success."""

INFORMATION: Final = "consumerAuthenticationInformation"
NAME: Final = f"{INFORMATION}.authenticationTransactionId"
RETURN_URL: Final = f"{INFORMATION}.returnUrl"
ASK: Final = "CONSUMER_AUTHENTICATION"
TAKE: Final = "VALIDATE_CONSUMER_AUTHENTICATION"
ACTIONS: Final[Mapping[str, str]] = {
    ASK: "the issuer is asked before the payment; a challenge ends the request",
    TAKE: "what came of an authentication is taken, by its `authenticationTransactionId`",
}
FAILED: Final = DECLINES[Reason.AUTHENTICATION_FAILED]
_CHALLENGE_WANTED: Final = frozenset({"03", "04"})
_EXEMPTIONS: Final = (
    "lowValueExemptionIndicator",
    "riskAnalysisExemptionIndicator",
    "trustedMerchantExemptionIndicator",
    "delegatedAuthenticationExemptionIndicator",
    "secureCorporatePaymentIndicator",
    "outageExemptionIndicator",
    "authenticationOutageExemptionIndicator",
)
_RECURRING: Final = frozenset({"recurring", "recurring_internet", "install", "install_internet"})

_text: Final = fields.text
_amount: Final = next(field for field in fields.AUTHORIZATION if field.name == "amount")
_RESULT: Final[Table] = table(
    row("reference", _text(59), "clientReferenceInformation.code"),
    row("name", _text(26), NAME),
)


# ---- what is asked


class Enrolment(Struct, frozen=True, kw_only=True):
    card: Card
    amount: Money
    return_url: str
    shop: str
    wants_challenge: bool


def reference_in(document: Json) -> str | None:
    """The merchant's own code, where it may be shown again."""
    found = text_of(find(document, ("clientReferenceInformation", "code")))
    return found if found and len(found) <= 59 and not has_bad_characters(found) else None


def card_in(document: Json, merchant: Merchant, brought: Supplied = NOTHING_BROUGHT) -> Card | Problems:
    """The card of a set-up. `brought` is what the tokens of a request stand for."""
    findings = Findings()
    card = _card(document, merchant, brought, findings)
    return card if isinstance(card, Card) and not findings.errors else _problems(card, findings)


def enrolment(document: Json, merchant: Merchant, brought: Supplied = NOTHING_BROUGHT) -> Enrolment | Problems:
    """POST /risk/v1/authentications."""
    findings = Findings()
    card = _card(document, merchant, brought, findings)
    if isinstance(card, Problems):
        return card
    values, _ = decode(fields.AUTHORIZATION, dict(document))
    amount = None
    for name in ("amount", "currency"):
        path = f"orderInformation.amountDetails.{'totalAmount' if name == 'amount' else name}"
        if name not in values and path not in findings.paths:
            findings.missing(path)
    if isinstance(currency := values.get("currency"), Currency) and "amount" in values:
        amount = Money.parse(str(values["amount"]).removesuffix("."), currency)
    return_url = _return_url(document, findings)
    if not isinstance(card, Card) or amount is None or findings.errors:
        return findings.problems()
    return Enrolment(
        card=card,
        amount=amount,
        return_url=return_url,
        shop=shop_in(document),
        wants_challenge=wants_challenge(document),
    )


def _card(document: Json, merchant: Merchant, brought: Supplied, findings: Findings) -> Card | Problems | None:
    values, errors = decode(fields.AUTHORIZATION, dict(document))
    findings.errors.extend(errors)
    brought.add_to(values)
    return card_of(dict(document), values, findings, merchant, needs_expiry=True)


def _problems(card: object, findings: Findings) -> Problems:
    return card if isinstance(card, Problems) else findings.problems()


def _return_url(document: Json, findings: Findings) -> str:
    text = text_of(find(document, (INFORMATION, "returnUrl"))) or ""
    try:
        return web_url(text) if text else ""
    except ValueError as error:
        findings.invalid(RETURN_URL, str(error))
        return ""


def return_url(document: Json) -> str | Problems:
    """Where a payment's payer goes after a challenge; empty where nothing is said."""
    findings = Findings()
    found = _return_url(document, findings)
    return findings.problems() if findings.errors else found


def wants_challenge(document: Json) -> bool:
    """Whether the merchant asks for a challenge, or is bound to one (`challengeCode`)."""
    return text_of(find(document, (INFORMATION, "challengeCode"))) in _CHALLENGE_WANTED


def shop_in(document: Json) -> str:
    """What the challenge page calls the merchant; empty where the request does not say."""
    for path in (("merchantName",), ("merchantDescriptor", "name")):
        found = text_of(find(document, ("merchantInformation", *path)))
        if found and len(found) <= 60 and not has_bad_characters(found) and not looks_like_a_pan(found):
            return found
    return ""


def named(document: Json) -> str | Problems:
    """POST /risk/v1/authentication-results, and a payment that takes a result: the name of the authentication."""
    findings = Findings()
    values, errors = decode(_RESULT, dict(document))
    findings.errors.extend(errors)
    if "name" not in values and not errors:
        findings.missing(NAME)
    return findings.problems() if findings.errors else str(values["name"])


def actions(document: Json) -> frozenset[str]:
    """What a payment wants of authentication."""
    listed = find(document, ("processingInformation", "actionList"))
    if not isinstance(listed, list):
        return frozenset()
    return frozenset(each for each in listed if isinstance(each, str) and each in ACTIONS)


def proof_in(document: Json) -> Proof | None:
    """What a payment says that somebody else found out; None where it says nothing."""
    told = find(document, (INFORMATION,))
    if not isinstance(told, dict):
        return None

    def said(*names: str) -> str:
        texts = (text_of(told.get(name)) or "" for name in names)
        return next((text for text in texts if text and len(text) <= 255 and not has_bad_characters(text)), "")

    indicator = said("ucafCollectionIndicator")
    eci = said("eciRaw", "eci").rjust(2, "0") if said("eciRaw", "eci") else indicator.rjust(2, "0") if indicator else ""
    value = said("cavv", "ucafAuthenticationData")
    status = said("paresStatus").upper()
    if not (eci or value or status):
        return None
    return Proof(
        eci=eci[:2],
        status=status[:1],
        value=value,
        xid=said("xid"),
        directory_server_id=said("directoryServerTransactionId", "directoryServerTransactionID"),
        version=said("paSpecificationVersion", "specificationVersion"),
    )


def order_of(document: Json, command: Authorize, proof: Proof | None) -> Order:
    """What a payment says of itself to the obligation."""
    processing = find(document, ("processingInformation",))
    said = processing if isinstance(processing, dict) else {}
    indicator = (text_of(said.get("commerceIndicator")) or "").lower()
    initiator = (text_of(find(said, ("authorizationOptions", "initiator", "type"))) or "").lower()
    enrolled = text_of(find(document, (INFORMATION, "veresEnrolled"))) or ""
    was_tried = proof is not None and (
        proof.shifts_liability
        or proof.status == "U"
        or (enrolled in ("U", "N", "B") and proof.status not in ("N", "R"))
    )
    cryptogram = text_of(find(document, ("paymentInformation", "tokenizedCard", "cryptogram")))
    return Order(
        is_by_merchant="merchant-initiated" in command.flags,
        is_recurring=indicator in _RECURRING and initiator != "customer",
        is_card_present="retail" in command.flags,
        is_by_mail_or_phone=indicator == "moto",
        is_voice_approved=command.voice_approval is not None,
        has_wallet_cryptogram="network-token" in command.flags and bool(cryptogram or (proof and proof.value)),
        is_risk_analysed=exemptions(document) == ("riskAnalysisExemptionIndicator",),
        is_authenticated=was_tried,
    )


def exemptions(document: Json) -> tuple[str, ...]:
    """Exemptions that a payment claims; more than one of them are refused."""
    claimed = find(document, (INFORMATION, "strongAuthentication"))
    if not isinstance(claimed, dict):
        return ()
    return tuple(name for name in _EXEMPTIONS if text_of(claimed.get(name)) == "1")


# ---- what is answered

_RESULTS: Final[Mapping[Status, tuple[str, str]]] = {
    Status.AUTHENTICATED: ("0", "Success"),
    Status.ATTEMPTED: ("1", "Cardholder is not participating, but the attempt to authenticate was recorded"),
    Status.UNAVAILABLE: ("6", "Issuer unable to perform authentication"),
    Status.FAILED: ("9", "Cardholder did not complete authentication"),
    Status.REJECTED: ("9", "Cardholder did not complete authentication"),
    Status.CHALLENGE: ("-1", "Cardholder has not answered yet"),
}
"""Raw result of a validation, with its message."""


class Places(Struct, frozen=True):
    """Where the payer's browser goes for a challenge."""

    step_up_url: str
    token: str


def enrolled(name: str, found: Authentication, places: Places | None = None) -> dict[str, object]:
    """`consumerAuthenticationInformation` after the issuer was asked; `places` where it wants a challenge."""
    told: dict[str, object] = {
        "challengeRequired": "Y" if found.was_challenged else "N",
        "effectiveAuthenticationType": "CH" if found.was_challenged else "FR",
        "authenticationPath": "ENROLLED" if found.was_challenged else "NOREDIRECT",
        **_common(name, found),
    }
    if not found.is_challenged:
        told["ecommerceIndicator"] = said_by(found.brand, found.status).indicator
    if places is not None:
        told |= {
            "accessToken": places.token,
            "stepUpUrl": places.step_up_url,
            "acsUrl": places.step_up_url,
            "pareq": _creq(found),
            "acsTransactionId": found.acs_id,
        }
    return dict(sorted(told.items()))


def validated(name: str, found: Authentication) -> dict[str, object]:
    """`consumerAuthenticationInformation` of what came of a challenge."""
    result, message = _RESULTS[found.status]
    told: dict[str, object] = {
        "authenticationResult": result,
        "authenticationStatusMsg": message,
        **_common(name, found),
    }
    if not found.is_challenged:
        told["indicator"] = said_by(found.brand, found.status).indicator
    del told["veresEnrolled"]
    return dict(sorted(told.items()))


def _common(name: str, found: Authentication) -> dict[str, object]:
    told: dict[str, object] = {
        "authenticationTransactionId": name,
        "paresStatus": found.status.value,
        "veresEnrolled": found.played.enrolled,
        "specificationVersion": found.version,
        "threeDSServerTransactionId": found.server_id,
    }
    if found.played.enrolled == "Y":
        told |= {"directoryServerTransactionId": found.directory_server_id, "acsTransactionId": found.acs_id}
    else:
        told.pop("paresStatus")
    if found.played.reason and found.has_failed:
        told["signedParesStatusReason"] = found.played.reason
    if found.cancel:
        told["challengeCancelCode"] = found.cancel
    if not found.is_challenged:
        told |= proven(found)
    return told


def proven(found: Authentication) -> dict[str, object]:
    """The indicators of an authentication that has ended, and its value where there is one."""
    proof, is_mastercard = flow.proof_of(found), found.brand is Brand.MASTERCARD
    told: dict[str, object] = {"eciRaw": proof.eci}
    if is_mastercard:
        told["ucafCollectionIndicator"] = proof.eci[1]
    else:
        told["eci"] = proof.eci
    if proof.value:
        told["ucafAuthenticationData" if is_mastercard else "cavv"] = proof.value
        told["cavvAlgorithm"] = "3" if is_mastercard else "2"
    if proof.xid:
        told["xid"] = proof.xid
    return told


def _creq(found: Authentication) -> str:
    """The challenge request of EMV 3DS, for who wants to look at it."""
    message = {
        "messageType": "CReq",
        "messageVersion": found.version,
        "threeDSServerTransID": found.server_id,
        "acsTransID": found.acs_id,
        "challengeWindowSize": "02",
    }
    return base64.urlsafe_b64encode(msgspec.json.encode(message)).decode().rstrip("=")


def ended_as(found: Authentication) -> tuple[str, Word | None]:
    """`status` of an answer about an authentication, and the word for what is wrong."""
    if found.is_challenged:
        return AUTHENTICATION_PENDING.status, AUTHENTICATION_PENDING
    return ("AUTHENTICATION_FAILED", FAILED) if found.has_failed else ("AUTHENTICATION_SUCCESSFUL", None)


def answer(
    identifier: str,
    at: str,
    code: str,
    status: str,
    information: Mapping[str, object],
    word: Word | None = None,
    more: Mapping[str, object] | None = None,
) -> bytes:
    """The body of a 201 of this family; of a payment that waits for a challenge too."""
    body: dict[str, object] = {
        "clientReferenceInformation": {"code": code},
        INFORMATION: information,
        "id": identifier,
        "status": status,
        "submitTimeUtc": at,
        **(more or {}),
    }
    if word is not None:
        body["errorInformation"] = {"reason": word.reason, "message": word.message}
    return msgspec.json.encode(dict(sorted(body.items())))


def paid_with(card: Card) -> dict[str, object]:
    """The card of a payment that waits, as its answer shows it."""
    told: dict[str, object] = {"bin": card.pan.prefix}
    if card.brand is not None:
        told["type"] = card.brand.value.upper()
    return {"paymentInformation": {"card": told}}


# ---- what a payment keeps of it


def using(request: Request, name: str, found: Authentication, flags: frozenset[str], shown: Json) -> Request:
    """A payment that uses an authentication: its flags, what its details tell, what its answer shows.

    The value stays with the payment: it is spent, and it is the merchant's evidence.
    """
    kept: dict[str, object] = msgspec.to_builtins(request.kept)
    before = kept.get(INFORMATION)
    told = _common(name, found) | {"transactionId": name, "paSpecificationVersion": found.version}
    kept = {**kept, INFORMATION: {**(before if isinstance(before, dict) else {}), **told}}
    if found.is_proven:
        processing = kept.get("processingInformation")
        said = {"commerceIndicator": said_by(found.brand, found.status).indicator}
        kept["processingInformation"] = {**said, **(processing if isinstance(processing, dict) else {})}
    command = request.command
    assert isinstance(command, Authorize)
    return replace(
        request,
        command=replace(command, flags=command.flags | flags, particulars=msgspec.json.encode(kept)),
        kept=kept,
        echo=replace(request.echo, authentication=shown),
    )


def flagged(request: Request, flag: str) -> Request:
    command = request.command
    return replace(request, command=replace(command, flags=command.flags | {flag}))
