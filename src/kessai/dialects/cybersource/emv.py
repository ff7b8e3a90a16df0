"""EMV data of chip cards: the dictionary of tags, and a string of tags taken apart. Pure.

`GET /tss/v2/transactions/emvTagDetails` and `POST` to the same. Nothing of it is kept. What a chip says of its card
(number, track, holder, expiry, PIN) is answered as `X`, whoever sent it.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

PATH: Final = "/tss/v2/transactions/emvTagDetails"
ROUTES: Final = (
    ("GET", PATH, "the dictionary of EMV tags", 200),
    ("POST", PATH, "EMV data taken apart", 200),
)
"""Method, path, what is asked for, HTTP status of a success."""

Body = dict[str, object]
_encode: Final = msgspec.json.Encoder().encode

LONGEST_DATA: Final = 1_998
"""Characters of one string of tags."""
MOST: Final = 100
"""Strings in one request."""
DEEPEST: Final = 4
"""Templates inside of templates."""

_TABLE: Final = """
42|Issuer Identification Number (IIN)|number of the issuer, the beginning of the card number
4F|Application Identifier (AID) - card|application of the card
50|Application Label|name of the application
56|Track 1 Data|track 1
57|Track 2 Equivalent Data|track 2
5A|Application Primary Account Number (PAN)|card number
5F20|Cardholder Name|who holds the card
5F24|Application Expiration Date|until when the card is good, YYMMDD
5F25|Application Effective Date|since when the card is good, YYMMDD
5F28|Issuer Country Code|country of the issuer, ISO 3166 number
5F2A|Transaction Currency Code|currency, ISO 4217 number
5F2D|Language Preference|up to four languages of the cardholder
5F30|Service Code|service code of the card
5F34|Application Primary Account Number (PAN) Sequence Number|tells cards of one number apart
61|Application Template|one application of a directory
6F|File Control Information (FCI) Template|answer to a selection
70|READ RECORD Response Message Template|record that was read
71|Issuer Script Template 1|commands of the issuer, before the final cryptogram
72|Issuer Script Template 2|commands of the issuer, after the final cryptogram
77|Response Message Template Format 2|answer to a command, with tags
80|Response Message Template Format 1|answer to a command, without tags
81|Amount, Authorised (Binary)|amount without adjustments
82|Application Interchange Profile|what the card can do
84|Dedicated File (DF) Name|name of the application on the card
86|Issuer Script Command|command of the issuer
87|Application Priority Indicator|order among the applications
88|Short File Identifier (SFI)|file of a directory
89|Authorisation Code|code by which the issuer approved
8A|Authorisation Response Code|answer of the issuer
8C|Card Risk Management Data Object List 1 (CDOL1)|what the card wants for its first cryptogram
8D|Card Risk Management Data Object List 2 (CDOL2)|what the card wants for its second cryptogram
8E|Cardholder Verification Method (CVM) List|ways to verify the cardholder
8F|Certification Authority Public Key Index|key of the scheme
90|Issuer Public Key Certificate|key of the issuer, certified
91|Issuer Authentication Data|proof of the issuer, for the card
92|Issuer Public Key Remainder|rest of the issuer's key
93|Signed Static Application Data|data signed by the issuer
94|Application File Locator (AFL)|files and records of the application
95|Terminal Verification Results|what the terminal found
98|Transaction Certificate (TC) Hash Value|hash for a certificate
99|Transaction Personal Identification Number (PIN) Data|PIN
9A|Transaction Date|date, YYMMDD
9B|Transaction Status Information|steps that the terminal took
9C|Transaction Type|first digits of the processing code
9D|Directory Definition File (DDF) Name|name of a directory
9F01|Acquirer Identifier|who acquires
9F02|Amount, Authorised (Numeric)|amount without adjustments
9F03|Amount, Other (Numeric)|cashback
9F04|Amount, Other (Binary)|cashback
9F05|Application Discretionary Data|data of the issuer
9F06|Application Identifier (AID) - terminal|application of the terminal
9F07|Application Usage Control|where the card may be used
9F08|Application Version Number (card)|version of the card's application
9F09|Application Version Number (terminal)|version of the terminal's application
9F0B|Cardholder Name Extended|who holds the card, in full
9F0D|Issuer Action Code - Default|when to decline offline
9F0E|Issuer Action Code - Denial|when to decline without asking
9F0F|Issuer Action Code - Online|when to ask the issuer
9F10|Issuer Application Data|data of the application, for the issuer
9F11|Issuer Code Table Index|alphabet of the preferred name
9F12|Application Preferred Name|name of the application, in the holder's alphabet
9F13|Last Online Application Transaction Counter (ATC) Register|counter at the last online payment
9F15|Merchant Category Code|trade of the merchant
9F16|Merchant Identifier|merchant
9F17|Personal Identification Number (PIN) Try Counter|PIN tries that are left
9F1A|Terminal Country Code|country of the terminal, ISO 3166 number
9F1B|Terminal Floor Limit|amount from which the issuer is asked
9F1C|Terminal Identification|terminal
9F1E|Interface Device (IFD) Serial Number|serial number of the reader
9F1F|Track 1 Discretionary Data|issuer's part of track 1
9F20|Track 2 Discretionary Data|issuer's part of track 2
9F21|Transaction Time|time, HHMMSS
9F26|Application Cryptogram|cryptogram of the card
9F27|Cryptogram Information Data|kind of cryptogram
9F33|Terminal Capabilities|what the terminal can do
9F34|Cardholder Verification Method (CVM) Results|how the cardholder was verified
9F35|Terminal Type|kind of terminal
9F36|Application Transaction Counter (ATC)|payments of the card so far
9F37|Unpredictable Number|random number of the terminal
9F38|Processing Options Data Object List (PDOL)|what the card wants to begin
9F39|Point-of-Service (POS) Entry Mode|how the card was read
9F40|Additional Terminal Capabilities|what else the terminal can do
9F41|Transaction Sequence Counter|payments of the terminal so far
9F42|Application Currency Code|currency of the card, ISO 4217 number
9F44|Application Currency Exponent|decimals of that currency
9F4C|ICC Dynamic Number|random number of the card
9F4E|Merchant Name and Location|merchant
9F53|Transaction Category Code|category of the payment
9F5B|Issuer Script Results|what became of the issuer's commands
9F66|Terminal Transaction Qualifiers (TTQ)|what a contactless terminal can do
9F6C|Card Transaction Qualifiers (CTQ)|what a contactless card wants
9F6E|Form Factor Indicator|card, telephone or other device
9F7C|Customer Exclusive Data|data of the issuer
A5|File Control Information (FCI) Proprietary Template|part of the answer to a selection
"""


class Tag(NamedTuple):
    tag: str
    name: str
    description: str


TAGS: Final[Mapping[str, Tag]] = {
    tag.tag: tag for tag in (Tag(*line.split("|")) for line in _TABLE.strip().splitlines())
}
SECRET: Final = frozenset({"56", "57", "5A", "5F20", "5F24", "99", "9F0B", "9F1F", "9F20"})
"""Tags that no request may have (public reference), because of what they tell of the card."""


def dictionary() -> bytes:
    """Every tag that is known, with its name."""
    return _encode({"emvTagBreakdownList": [{"tag": tag.tag, "name": tag.name} for tag in TAGS.values()]})


class Wrong(NamedTuple):
    path: str
    is_missing: bool
    why: str


def parsed(document: Mapping[str, object]) -> bytes | Wrong:
    """The answer to a request with strings of tags."""
    sent = document.get("emvDetailsList")
    if sent in (None, ""):
        return Wrong("emvDetailsList", True, "is missing")
    if not isinstance(sent, list) or not 0 < len(sent) <= MOST:
        return Wrong("emvDetailsList", False, f"is a list of 1 to {MOST} objects")
    lists: list[Body] = []
    for index, each in enumerate(sent):
        path = f"emvDetailsList[{index}].emvRequestCombinedTags"
        data = each.get("emvRequestCombinedTags") if isinstance(each, dict) else None
        if data in (None, ""):
            return Wrong(path, True, "is missing")
        if not isinstance(data, str) or len(data) > LONGEST_DATA or _HEX.fullmatch(data) is None:
            return Wrong(path, False, f"is a text of at most {LONGEST_DATA} hexadecimal digits, two for a byte")
        try:
            found = _taken_apart(bytes.fromhex(data), 0)[0]
        except ValueError:
            return Wrong(path, False, "is not made of tags, each with its length and its value")
        request_id = each.get("requestId")
        named = {"requestId": request_id} if isinstance(request_id, str) and len(request_id) <= _LONGEST_ID else {}
        lists.append({**named, "totalTags": len(found), "emvTagBreakdownList": found})
    return _encode({"parsedEMVTagsList": lists})


_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+", re.ASCII)
_LONGEST_ID: Final = 26


def _taken_apart(data: bytes, depth: int) -> tuple[list[Body], str]:
    """The tags in a string, those of templates behind them, and the string with what is secret masked.

    ValueError for a string that ends in the middle, or is nested too deep. BER-TLV, ISO/IEC 7816-4 5.2.
    """
    found: list[Body] = []
    shown = ""
    at = 0
    while at < len(data):
        begin = at
        at += 1
        if data[begin] & 0x1F == 0x1F:
            while _byte(data, at) & 0x80:
                at += 1
            at += 1
        tag = data[begin:at].hex().upper()
        length = _byte(data, at)
        at += 1
        if length & 0x80:
            more = length & 0x7F
            length = int.from_bytes(data[at : at + more])
            at += more
        end = at + length
        if end > len(data):
            raise ValueError("a tag is cut off")
        inside: list[Body] = []
        if tag in SECRET:
            value = "X" * (2 * length)
        elif data[begin] & 0x20 and length:
            if depth == DEEPEST:
                raise ValueError("templates are nested too deep")
            inside, value = _taken_apart(data[at:end], depth + 1)
        else:
            value = data[at:end].hex().upper()
        known = TAGS.get(tag, Tag(tag, "Unknown", "not in the dictionary"))
        found.append(
            {"tag": tag, "name": known.name, "length": length, "value": value, "description": known.description}
        )
        found += inside
        shown += data[begin:at].hex().upper() + value
        at = end
    return found, shown


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise ValueError("a tag is cut off")
    return data[at]
