"""Sections about payer authentication: routes, the simulated issuer, networks, exemptions."""

from kessai.authentication.flow import TRANSITIONS
from kessai.authentication.issuer import CARDS, SCENARIOS
from kessai.authentication.networks import NETWORKS
from kessai.authentication.obligation import EXEMPTIONS
from kessai.checkout import service
from kessai.dialects.cybersource import authentication as wire
from kessai.reference.parts import code, table


def print_authentication_routes() -> str:
    rows = ((code(method), code(path), asked, status) for method, path, asked, status in wire.ROUTES)
    return table(("Method", "Path", "What it asks for", "Success"), rows)


def print_challenge_routes() -> str:
    rows = ((code(method), code(path), what, known) for method, path, what, known in service.ROUTES)
    return table(("Method", "Path", "What it is", "How the sender is known"), rows)


def print_authentication_actions() -> str:
    return table(("Action", "What it does"), ((code(name), meaning) for name, meaning in wire.ACTIONS.items()))


def print_authentication_scenarios() -> str:
    rows = (
        (
            code(each.name),
            each.meaning,
            code(each.enrolled),
            code(each.status.value),
            code(each.ends.value if each.ends is not None else ""),
        )
        for each in SCENARIOS.values()
    )
    return table(("Name", "Meaning", "`veresEnrolled`", "At once", "After a right answer"), rows)


def print_authentication_cards() -> str:
    rows = (
        (code(name), version, ", ".join(map(code, numbers.split())))
        for name, versions in CARDS.items()
        for version, numbers in versions.items()
    )
    return table(("Scenario", "Protocol", "Cards"), rows)


def print_challenge_events() -> str:
    return table(("What happens", "What the challenge becomes"), ((e.value, text) for e, text in TRANSITIONS.items()))


def print_authentication_networks() -> str:
    rows = (
        (brand.value, *(f"{code(said.eci)} {code(said.indicator)}" for said in network))
        for brand, network in NETWORKS.items()
    )
    return table(("Brand", "Authenticated", "Attempted", "Unproven"), rows)


def print_authentication_exemptions() -> str:
    rows = ((code(exemption.name), exemption.meaning) for _, exemption in EXEMPTIONS)
    return table(("Exemption", "Why"), rows)
