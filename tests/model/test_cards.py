"""The second stateful model (T-8): random days of two merchants with cards on file and subscriptions, on both engines.

`DAYS` and `STEPS` in the environment play more; the examples are the same ones in every run.
"""

import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import on_both_engines
from tests.model.cards import Cards
from tests.model.test_model import staged
from tests.model.wire import Wire

MANY: Final = settings(
    max_examples=int(os.environ.get("DAYS", "80")),
    stateful_step_count=int(os.environ.get("STEPS", "50")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(24 * 3600)
@on_both_engines
def test_cards_on_file_and_subscriptions_are_as_a_small_model_says(tmp_path: Path) -> None:
    """T-8, P2, P4, P8: statuses, ids, defaults, ETags, what pays, what is charged and when, the books."""
    with staged(tmp_path) as stage:
        wire = Wire(stage)
        run_state_machine_as_test(lambda: Cards(stage, wire), settings=MANY)  # type: ignore[arg-type] # a factory
        assert next(stage.numbers) >= MANY.max_examples
