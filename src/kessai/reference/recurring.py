"""Sections about recurring billing: routes, members, states, declines; and the sandbox's clock."""

from kessai.dialects.cybersource import recurring as wire
from kessai.payment.plan import Obstacle
from kessai.payment.subscription import DECLINES, TABLE, Result
from kessai.reference.parts import code, table
from kessai.sandbox import STEPS


def print_recurring_routes() -> str:
    rows = ((code(method), code(path), says, wire.LATER.get(name, 200)) for method, path, name, says in wire.ROUTES)
    return table(("Method", "Path", "What it does", "Success"), rows)


def print_recurring_members() -> str:
    rows = ((kind, code(field.path), field.name) for kind, rows_of in wire.TABLES.items() for field in rows_of)
    return table(("Of", "Member", "Becomes"), rows)


def print_recurring_filters() -> str:
    lists = (("plans", wire.PLAN_FILTERS), ("subscriptions", wire.SUBSCRIPTION_FILTERS))
    return table(("List", "Narrowed by"), ((name, ", ".join(map(code, filters))) for name, filters in lists))


def print_subscription_states() -> str:
    rows = (
        (", ".join(sorted(code(state.value) for state in before)) or "–", event.value, code(to.value))
        for before, event, to in TABLE
    )
    return table(("From", "What happens", "To"), rows)


def print_subscription_declines() -> str:
    rows = (
        (result.value, ", ".join(code(reason.value) for reason, kind in DECLINES.items() if kind is result))
        for result in (Result.SOFT, Result.HARD)
    )
    return table(("Kind", "Reasons"), rows)


def print_subscription_obstacles() -> str:
    rows = ((obstacle.value, code(wire.of_obstacle(obstacle).details[0][0])) for obstacle in Obstacle)
    return table(("`message`", "Member"), rows)


def print_clock_steps() -> str:
    return table(("Letter", "Stands for"), ((code(letter), meaning) for letter, meaning in STEPS.items()))
