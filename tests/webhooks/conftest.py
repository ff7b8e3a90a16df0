"""A gateway whose test merchants may be told at addresses of this machine, on each engine."""

import io
import logging
import warnings
from collections.abc import Iterator

import pytest

from kessai import log
from tests import postgres
from tests.acceptance.client import Service
from tests.acceptance.conftest import SETTINGS, serving
from tests.conftest import ENGINES
from tests.webhooks.receiver import Receiver, receiving
from tests.webhooks.shop import Shop, open_shop

HOOKS = SETTINGS + 'webhook_test_hosts = ["127.0.0.1"]\n'


@pytest.fixture(scope="package", params=ENGINES)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, warnings.showwarning
    logs = io.StringIO()
    log.configure(logs)
    try:
        url = postgres.fresh() if request.param == "postgresql" else ""
        with serving(tmp_path_factory.mktemp("data"), url, logs, HOOKS) as running:
            yield running
    finally:
        log.configure()
        logging.captureWarnings(False)
        root.handlers[:], root.level, warnings.showwarning = before


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def shop(service: Service) -> Shop:
    return open_shop(service)
