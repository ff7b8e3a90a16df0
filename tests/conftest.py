"""What tests of several rooms share: the two databases that everything has to work on."""

import pytest
from hypothesis import HealthCheck, settings

from tests import postgres

ENGINES = ("sqlite", "postgresql")

# How long an example takes, or to think one up, says more of the machine than of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Houses that this test opens are on this engine; on PostgreSQL, all of them on one fresh database."""
    name: str = request.param
    if name == "postgresql":
        monkeypatch.setenv("KESSAI_DATABASE", postgres.fresh())
    return name


on_both_engines = pytest.mark.usefixtures("engine")

on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
"""Of a test that needs the embedded engine's inside, in a module of tests that run on both."""
