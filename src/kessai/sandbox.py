"""What test merchants may ask for and nobody else: an outcome by name.

The name travels over the whole road to the simulated acquirer, which alone knows what it does; no dialect reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kessai.acquirers.simulator.scenarios import SCENARIOS
from kessai.payment.lifecycle import Operation
from kessai.payment.merchant import Merchant

HEADER: Final = "kessai-scenario"


@dataclass(frozen=True, slots=True)
class NoSuchScenario:
    """A name that no simulator knows, or that this operation cannot end in; the text says which there are."""

    explanation: str


def scenario(merchant: Merchant, operation: Operation, name: str | None) -> str | NoSuchScenario | None:
    """The scenario of a request; None where none is asked for, or where the merchant is live."""
    if name is None or not merchant.is_test:
        return None
    found = SCENARIOS.get(name)
    if found is None:
        return NoSuchScenario(f"there is no scenario of this name; there are: {', '.join(SCENARIOS)}")
    if operation not in found.operations:
        return NoSuchScenario(f"the scenario {found.name} is for {', '.join(_names(found.operations))}")
    return found.name


def _names(operations: frozenset[Operation]) -> list[str]:
    return [operation.value for operation in Operation if operation in operations]


def describe() -> Mapping[str, str]:
    """Every scenario with its meaning."""
    return {name: scenario.meaning for name, scenario in SCENARIOS.items()}
