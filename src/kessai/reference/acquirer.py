"""Sections about the simulated acquirer: triggers, scenarios, personalities."""

from kessai.acquirers import FACTS, personalities
from kessai.acquirers.simulator import personalities as simulated
from kessai.acquirers.simulator import triggers
from kessai.acquirers.simulator.scenarios import OF_CARDS, SCENARIOS
from kessai.reference.parts import code, meant, names, table


def print_triggers() -> str:
    return table(triggers.HEADINGS, triggers.rows())


def print_scenarios() -> str:
    return table(
        ("Name", "Meaning", "Operations", "The acquirer", "Its answer", "eCheck"),
        (
            (
                code(row.name),
                row.meaning,
                names(row.operations),
                row.ending.value,
                row.delivery.value,
                "no" if row.name in OF_CARDS else "yes",
            )
            for row in SCENARIOS.values()
        ),
    )


def print_personalities() -> str:
    parts = []
    for name, kind in personalities().items():
        shown = {message: said for message, said in simulated.FINGERPRINTS[name].items() if said}
        names = dict.fromkeys(fact for said in shown.values() for fact in said)
        rows = ((code(fact), *(code(said.get(fact)) for said in shown.values())) for fact in names)
        parts += [f"### `{name}`: {kind.title}", table(("Fact", *(each.value for each in shown)), rows)]
    return "\n\n".join(parts)


def print_additions() -> str:
    return table(
        ("Personality", "Answer", "Brand", "Flag", "Facts"),
        (
            (
                code(row.personality),
                row.message.value,
                row.brand.value if row.brand else "",
                code(row.flag),
                ", ".join(f"{name} `{value}`" for name, value in row.facts.items()),
            )
            for row in simulated.ADDITIONS
        ),
    )


def print_codes() -> str:
    return table(
        ("Reason", *simulated.CODES),
        (
            (code(reason.value), *(code(said[reason].get("response_code")) for said in simulated.CODES.values()))
            for reason in simulated.CODES["sandbox"]
        ),
    )


def print_facts() -> str:
    return meant("Fact", FACTS)
