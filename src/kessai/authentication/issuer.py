"""The simulated issuer: what it answers, as tables. Pure.

A scenario says how an authentication goes. A test card leads to one; a test merchant may name one outright, which goes
before the card. Every other card is authenticated without a challenge.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from kessai.payment.card import Pan
from kessai.payment.word import Word


class Status(Word):
    """Transaction status of EMV 3DS (`transStatus`; on the CyberSource wire `paresStatus`)."""

    AUTHENTICATED = "Y"
    """The issuer vouches for its cardholder."""
    ATTEMPTED = "A"
    """The issuer could not, and the network vouches that it was tried."""
    FAILED = "N"
    """The cardholder was not authenticated."""
    UNAVAILABLE = "U"
    """Nobody could say."""
    REJECTED = "R"
    """The issuer rejects the payment without asking its cardholder."""
    CHALLENGE = "C"
    """The cardholder has to prove himself: no end yet."""


class Scenario(Struct, frozen=True, kw_only=True):
    """How an authentication goes."""

    name: str
    meaning: str
    status: Status
    """What the issuer answers at once."""
    ends: Status | None = None
    """After a challenge that was answered rightly."""
    enrolled: str = "Y"
    """Whether the card takes part (`veresEnrolled`): Y; U where the directory server could not say; B where the rules
    of the network go around it."""
    reason: str = ""
    """Why, in the two digits of EMV 3DS (`transStatusReason`)."""


_S: Final = Status
SCENARIOS: Final[Mapping[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="frictionless",
            meaning="The issuer knows its cardholder without asking.",
            status=_S.AUTHENTICATED,
        ),
        Scenario(
            name="attempt",
            meaning="The issuer does not answer; the network vouches for the attempt.",
            status=_S.ATTEMPTED,
        ),
        Scenario(
            name="frictionless-failed",
            meaning="The issuer does not recognise its cardholder, and does not ask.",
            status=_S.FAILED,
            reason="01",
        ),
        Scenario(
            name="unavailable",
            meaning="The issuer cannot authenticate at the moment.",
            status=_S.UNAVAILABLE,
            reason="22",
        ),
        Scenario(
            name="rejected",
            meaning="The issuer rejects the payment: it suspects a fraud.",
            status=_S.REJECTED,
            reason="11",
        ),
        Scenario(
            name="not-reached",
            meaning="The directory server cannot be reached, or reports an error.",
            status=_S.UNAVAILABLE,
            enrolled="U",
        ),
        Scenario(
            name="bypassed",
            meaning="The network goes around the authentication.",
            status=_S.UNAVAILABLE,
            enrolled="B",
        ),
        Scenario(
            name="challenge",
            meaning="The issuer asks its cardholder, whose answer decides.",
            status=_S.CHALLENGE,
            ends=_S.AUTHENTICATED,
        ),
        Scenario(
            name="challenge-failed",
            meaning="The issuer asks its cardholder, and takes no answer.",
            status=_S.CHALLENGE,
            ends=_S.FAILED,
            reason="19",
        ),
        Scenario(
            name="challenge-unavailable",
            meaning="The issuer asks its cardholder, and cannot tell whether the answer is right.",
            status=_S.CHALLENGE,
            ends=_S.UNAVAILABLE,
        ),
    )
}
"""Every scenario by name; the order is that of the printed table."""
USUAL: Final = "frictionless"

V1: Final = "2.1.0"
V2: Final = "2.2.0"

CARDS: Final[Mapping[str, Mapping[str, str]]] = {
    "frictionless": {
        V1: "4000000000001000 5200000000001005 340000000001007 3337000000000008",
        V2: "4000000000002701 5200000000002235 340000000002708 3338000000000296",
    },
    "frictionless-failed": {
        V1: "4000000000001018 5200000000001013",
        V2: "4000000000002925 5200000000002276 340000000002096 3338000000000361",
    },
    "attempt": {
        V1: "4000000000001026 5200000000001021",
        V2: "4000000000002719 5200000000002482 340000000002872",
    },
    "unavailable": {
        V1: "4000000000001034 5200000000001039",
        V2: "4000000000002313 5200000000002268 340000000002922",
    },
    "rejected": {
        V1: "4000000000001042 5200000000001047",
        V2: "4000000000002537 5200000000002185 340000000002062",
    },
    "not-reached": {
        V1: "4000000000001059 5200000000001054 4000000000001067 5200000000001062 4000000000001075 5200000000001070",
        V2: "4000000000002990 5200000000002409 4000000000002446 5200000000002037 4000000000002354 5200000000002326",
    },
    "bypassed": {
        V1: "4000000000001083 5200000000001088",
        V2: "4000000000002560 5200000000002508",
    },
    "challenge": {
        V1: "4000000000001091 5200000000001096",
        V2: "4000000000002503 5200000000002151 340000000002534 4000002500003155",
    },
    "challenge-failed": {
        V1: "4000000000001109 5200000000001104",
        V2: "4000000000002370 5200000000002490 340000000002237 3338000000000874",
    },
    "challenge-unavailable": {
        V1: "4000000000001117 5200000000001112 340000000001114",
        V2: "4000000000002420 5200000000002664 340000000002484 3338000000000981",
    },
}
"""Scenario to the published test cards that lead to it, by the version of the protocol that they speak."""

_OF_CARD: Final = {
    digits: (name, version)
    for name, versions in CARDS.items()
    for version, numbers in versions.items()
    for digits in numbers.split()
}


def scenario_of(pan: Pan, named: str | None = None, *, wants_challenge: bool = False) -> tuple[Scenario, str]:
    """How the authentication of a card goes, and the version of the protocol.

    `named` is a scenario's name. `wants_challenge`: the merchant asks for one, which is granted for ordinary cards.
    """
    name, version = _OF_CARD.get(pan.digits, ("challenge" if wants_challenge else USUAL, V2))
    return SCENARIOS[named or name], version


RIGHT_CODE: Final = "1234"
"""What the simulated issuer sends its cardholders as a one-time code."""
MOST_TRIES: Final = 3
"""Answers to a challenge; the last wrong one ends it."""
