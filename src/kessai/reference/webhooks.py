"""Sections about notifications: routes, events, kinds of the other wire, waits between tries."""

from datetime import timedelta

from kessai.dialects.cybersource import notifications
from kessai.dialects.cybersource import webhooks as wire
from kessai.dialects.paymentoptions import notifications as paymentoptions
from kessai.reference.parts import code, table
from kessai.webhooks.tries import backed_off

_MIDDLE = 0.5
"""Chance, where it changes nothing."""


def print_webhook_routes() -> str:
    rows = (
        (code(method), code(path), says, 400 if name == "webhook_cipher" else 201 if name in wire.CREATES else 200)
        for method, path, name, says in wire.ROUTES
    )
    return table(("Method", "Path", "What it does", "Success"), rows)


def print_webhook_events() -> str:
    rows = (
        (code(product), code(event), title)
        for product, (_, events) in notifications.PRODUCTS.items()
        for event, title in events
    )
    return table(("Product", "Event", "Shown as"), rows)


def print_webhook_outcomes() -> str:
    rows = (
        (operation.value, status.value, ", ".join(map(code, events)))
        for (operation, status), events in notifications.EVENTS.items()
    )
    return table(("Operation", "Outcome", "Events"), rows)


def print_echeck_outcomes() -> str:
    rows = (
        (operation.value, status.value, ", ".join(map(code, events)))
        for (operation, status), events in notifications.ECHECK_EVENTS.items()
    )
    return table(("Operation", "Outcome", "Event"), rows)


def print_payment_options_events() -> str:
    return table(("Listed as", "When"), ((code(event), when) for event, when in paymentoptions.EVENTS.items()))


def print_webhook_waits() -> str:
    """How long after its first try each try comes, until there is none."""
    rows, age, tries = [], timedelta(), 1
    while (wait := backed_off(tries, age, _MIDDLE)) is not None:
        age += wait
        tries += 1
        rows.append((tries, str(wait), str(age)))
    return table(("Try", "After the one before", "After the first"), rows)
