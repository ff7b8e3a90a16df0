"""The gateways of the acceptance tests, a merchant's shop, and one browser for all of these tests."""

from collections.abc import Iterator

import pytest

from tests.acceptance.client import Client
from tests.acceptance.conftest import service, till
from tests.flex.browser import Browser, chromium
from tests.threeds.shop import Shop

__all__ = ["service", "till"]


@pytest.fixture
def shop(till: Client) -> Shop:
    return Shop(till)


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started
