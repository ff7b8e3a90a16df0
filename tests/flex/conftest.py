"""The gateways of the acceptance tests, and one browser for all of these tests."""

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import service, till
from tests.flex.browser import Browser, chromium

__all__ = ["service", "till"]


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started
