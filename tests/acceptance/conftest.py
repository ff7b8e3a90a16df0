"""One gateway for all of these tests, on a data folder and a socket of its own, in a thread with its own loop."""

import asyncio
import io
import logging
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from kessai import log, server
from kessai.app import House, open_house
from tests import postgres
from tests.acceptance.client import Client, Service
from tests.conftest import ENGINES
from tests.houses import Clock

SETTINGS = "acquirer_deadline_s = 0.3\nclean_up_first_s = 0.05\nclean_up_longest_s = 0.2\nfailures_burst = 80000\n"


@pytest.fixture(scope="package", params=ENGINES)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """On the embedded database, then on PostgreSQL."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, warnings.showwarning
    logs = io.StringIO()
    log.configure(logs)
    try:
        url = postgres.fresh() if request.param == "postgresql" else ""
        with serving(tmp_path_factory.mktemp("data"), url, logs) as running:
            yield running
    finally:
        log.configure()
        logging.captureWarnings(False)
        root.handlers[:], root.level, warnings.showwarning = before


@pytest.fixture
def alone(service: Service, tmp_path: Path) -> Iterator[Service]:
    """A gateway of this test's own, on the same engine: its clock may be put far ahead.

    The worker of one that is shared would settle, lapse and forget what other tests left, and remember the time.
    """
    with serving(tmp_path, postgres.fresh() if service.database else "", io.StringIO()) as running:
        yield running


@contextmanager
def serving(folder: Path, url: str, logs: io.StringIO, settings: str = SETTINGS) -> Iterator[Service]:
    """A gateway on a folder, and on the database of the URL where one is given."""
    (folder / "kessai.toml").write_text(settings, "utf-8")
    clock = Clock()
    started: Future[tuple[House, asyncio.AbstractEventLoop, int]] = Future()
    stop = threading.Event()
    thread = threading.Thread(target=lambda: server.run(_serve(folder, url, clock, started, stop)))
    thread.start()
    try:
        house, loop, port = started.result(30)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
            yield Service(house, clock, loop, port, logs, http, url)
    finally:
        stop.set()
        thread.join()


async def _serve(
    folder: Path,
    url: str,
    clock: Clock,
    started: "Future[tuple[House, asyncio.AbstractEventLoop, int]]",
    stop: threading.Event,
) -> None:
    try:
        house = await open_house(folder, database=url, clock=clock)
        loop = asyncio.get_running_loop()
        port: asyncio.Future[int] = loop.create_future()
        ended = asyncio.Event()
        serving = asyncio.create_task(server.serve(house.edge(), server.Settings(port=0), port.set_result, ended))
        working = asyncio.create_task(house.worker.run())
        started.set_result((house, loop, await port))
    except BaseException as error:
        started.set_exception(error)
        raise
    await asyncio.to_thread(stop.wait)
    ended.set()
    await serving
    house.worker.stop()
    await working
    await house.close()


@pytest.fixture
def till(service: Service) -> Client:
    """The client of the default sandbox merchant."""
    return service.till()


@pytest.fixture
def vpc(service: Service) -> Client:
    return service.till("kessai_vpc")


@pytest.fixture
def smcc(service: Service) -> Client:
    return service.till("kessai_smcc")


@pytest.fixture
def jcn(service: Service) -> Client:
    return service.till("kessai_jcn")
