"""What tests of several rooms share: the two databases that everything has to work on."""

import pytest

from tests import postgres

ENGINES = ("sqlite", "postgresql")


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
