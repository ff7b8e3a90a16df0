"""Sections about tokens: routes, members, errors, words for card types."""

from kessai.dialects.cybersource import token_faults, token_members, token_routes
from kessai.reference.parts import code, table
from kessai.tokens.provider import REFUSED
from kessai.tokens.updates import NOTICES


def print_token_routes() -> str:
    rows = ((code(row.method), code(row.path), row.kind.value, row.success) for row in token_routes.ROUTES)
    return table(("Method", "Path", "What it asks for", "Success"), rows)


def print_token_members() -> str:
    rows = (
        (kind, code(member.path), member.type, member.length_chars)
        for kind, members in token_members.MEMBERS.items()
        for member in members
    )
    return table(("Of", "Member", "Type", "Longest"), rows)


def print_token_card_types() -> str:
    rows = ((code(number), code(word)) for number, word in token_members.CARD_WORDS.items())
    return table(("v2", "v1"), rows)


def print_token_errors() -> str:
    rows = ((when, each.http, code(each.type), each.message) for when, each in token_faults.FAULTS.items())
    return table(("When", "HTTP", "`type`", "`message`"), rows)


def print_network_refusals() -> str:
    rows = ((f"{prefix}…", "`UNPROVISIONED`", code(reason.value)) for prefix, reason in REFUSED.items())
    return table(("Card number", "State", "`reason`"), rows)


def print_card_notices() -> str:
    rows = ((f"{prefix}…", notice.name.lower(), notice.value) for prefix, notice in NOTICES.items())
    return table(("Card number", "Notice", "What it says"), rows)
