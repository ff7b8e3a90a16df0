"""The gateways of the acceptance tests, and one browser for all of these tests."""

from collections.abc import Iterator

import pytest

from tests.acceptance.client import Service
from tests.acceptance.conftest import service
from tests.acceptance.options import Shop, shop_of
from tests.flex.browser import Browser, chromium

__all__ = ["service"]


@pytest.fixture
def shop(service: Service) -> Shop:
    return shop_of(service, "hpp_shop")


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started
