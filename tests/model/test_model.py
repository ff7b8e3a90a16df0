"""The stateful model (T-8): 200 random days of 40 operations each on both engines.

`DAYS=20000 STEPS=60` in the environment plays as many; a change of the code plays 200 of 40.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import on_both_engines
from tests.houses import opened
from tests.model.machine import Machine, Stage, Stopped

MANY: Final = settings(
    max_examples=int(os.environ.get("DAYS", "200")),
    stateful_step_count=int(os.environ.get("STEPS", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """A house for all examples."""
    clock = Stopped()
    with asyncio.Runner() as runner:
        context = opened(folder, clock=clock, works=False)
        stage = Stage(runner.run(context.__aenter__()), clock, runner)
        try:
            yield stage
        finally:
            runner.run(context.__aexit__(None, None, None))


@pytest.mark.timeout(24 * 3600)
@on_both_engines
def test_the_gateway_and_a_small_model_agree_after_every_operation(tmp_path: Path) -> None:
    """T-8, P2, P4, P5, P8, R-6, R-10: status, amounts, what is left, the books, refusals, replays, settlements."""
    with staged(tmp_path) as stage:
        run_state_machine_as_test(lambda: Machine(stage), settings=MANY)  # type: ignore[arg-type] # a factory will do
        assert next(stage.numbers) >= MANY.max_examples
