"""What a merchant's server does with payer authentication, and what its payer's browser does, without a browser."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from typing import Any, Final

import httpx

from tests import postgres
from tests.acceptance.client import Client, Reply, Service, changed, payment

Json = dict[str, Any]
SETUPS: Final = "/risk/v1/authentication-setups"
ENROL: Final = "/risk/v1/authentications"
RESULTS: Final = "/risk/v1/authentication-results"
ASK, TAKE = "CONSUMER_AUTHENTICATION", "VALIDATE_CONSUMER_AUTHENTICATION"
RETURN: Final = "https://shop.example/back?order=7"

FRICTIONLESS, CHALLENGE, FAILING = "4000000000002701", "4000000000002503", "4000000000002370"
MC_CHALLENGE = "5200000000002151"
RIGHT, WRONG = "1234", "4321"


def order(number: str = CHALLENGE, amount: str = "102.21", currency: str = "USD", **changes: object) -> Json:
    """A payment, or the enrolment of its card."""
    return payment(amount, currency, number, **{f"{INFORMATION}__returnUrl": RETURN, **changes})


INFORMATION: Final = "consumerAuthenticationInformation"


def asking(document: Json) -> Json:
    return changed(document, {"processingInformation.actionList": [ASK]})


def taking(document: Json, name: str) -> Json:
    return changed(
        document,
        {"processingInformation.actionList": [TAKE], f"{INFORMATION}.authenticationTransactionId": name},
    )


@contextmanager
def later(service: Service, **by: float) -> Iterator[None]:
    """A while later, on the clock of the wall."""
    service.clock.moved = timedelta(**by)
    try:
        yield
    finally:
        service.clock.moved = timedelta()


def left_behind(service: Service) -> dict[str, bytes]:
    """Every file of the data folder, or the rows on a server, and the log."""
    found = {file.name: file.read_bytes() for file in service.house.folder.rglob("*") if file.is_file()}
    if service.database:
        found |= asyncio.run(postgres.copies(service.database))
    own = [line for line in service.logs.getvalue().splitlines() if '"event":"httpx"' not in line]  # this test's client
    return found | {"the log": "\n".join(own).encode()}


def told(reply: Reply) -> Json:
    found = reply.json[INFORMATION]
    assert isinstance(found, dict)
    return found


@dataclass(frozen=True)
class Page:
    """A page as a browser without scripts has it."""

    answer: httpx.Response

    @property
    def text(self) -> str:
        return self.answer.text

    @property
    def fields(self) -> dict[str, str]:
        """Every hidden field."""
        found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', self.text)
        return {name: unescape(value) for name, value in found}

    @property
    def goes(self) -> str:
        """Where the form of the end goes, or its link."""
        found = re.search(r'action="([^"]*)" id="continue"', self.text) or re.search(
            r'class="main" href="([^"]*)"', self.text
        )
        return unescape(found[1]) if found else ""

    @property
    def became(self) -> str:
        return self.answer.headers["kessai-authentication"]

    @property
    def policy(self) -> dict[str, str]:
        rows = self.answer.headers["content-security-policy"].split("; ")
        return {name: value for name, _, value in (row.partition(" ") for row in rows)}


@dataclass(frozen=True)
class Shop:
    till: Client

    @property
    def http(self) -> httpx.Client:
        return self.till.service.http

    def enrol(self, document: Json | None = None, **headers: str) -> Reply:
        return self.till.post(ENROL, order() if document is None else document, **headers)

    def results(self, name: str) -> Reply:
        return self.till.post(RESULTS, {INFORMATION: {"authenticationTransactionId": name}})

    def challenged(self, document: Json | None = None, **headers: str) -> Json:
        """What an enrolment told that ended in a challenge."""
        reply = self.enrol(document, **headers)
        assert reply.said == (201, "PENDING_AUTHENTICATION", "CONSUMER_AUTHENTICATION_REQUIRED"), reply.body
        return told(reply)

    def step_up(self, token: str, md: str = "m-1", **headers: str) -> Page:
        form = {"JWT": token, "MD": md}
        return Page(self.http.post("/3ds/v2/step-up", data=form, headers=headers))

    def answer(self, page: Page, code: str = RIGHT, do: str = "submit", **more: str) -> Page:
        form = {**page.fields, "code": code, "do": do, **more}
        return Page(self.http.post("/3ds/v2/challenge", data=form, follow_redirects=False))

    def passed(self, document: Json | None = None) -> str:
        """The name of an authentication whose challenge was answered rightly."""
        found = self.challenged(document)
        page = self.answer(self.step_up(found["accessToken"]))
        assert page.became == "authenticated", page.text
        name = found["authenticationTransactionId"]
        assert isinstance(name, str)
        return name
