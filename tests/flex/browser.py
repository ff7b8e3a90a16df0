"""A headless Chromium, spoken to over a pipe (the DevTools protocol): nothing to install but the browser itself."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
PACKAGE: Final = "the tests need a browser: install it with 'apt install chromium'"
PATIENCE_S: Final = 60
PAINTED: Final = "performance.getEntriesByType('paint').length > 0"
"""Whether a page has been seen: until then the browser drops what is clicked and typed."""
_READ_FD, _WRITE_FD = 3, 4
"""Where Chromium reads orders and writes answers."""

Json = dict[str, Any]

NAVIGATING: Final = ("Inspected target navigated or closed", "Cannot find default execution context")


class Navigating(Exception):
    """The page gave way to another one while it was asked."""


class Browser:
    def __init__(self, process: "subprocess.Popen[bytes]", orders: int, answers: int) -> None:
        self.process = process
        self._orders = orders
        self._answers = answers
        self._numbers = itertools.count(1)
        self._heard = b""
        self.events: list[Json] = []
        """Everything that it said unasked, in order."""

    def call(self, method: str, session: str | None = None, **params: object) -> Json:
        number = next(self._numbers)
        order: Json = {"id": number, "method": method, "params": params}
        if session is not None:
            order["sessionId"] = session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == number:
                if said.get("error", {}).get("message") in NAVIGATING:
                    raise Navigating
                assert "error" not in said, (method, said["error"])
                result = said["result"]
                assert isinstance(result, dict)
                return result
            self.events.append(said)

    def _next(self) -> Json:
        while b"\0" not in self._heard:
            part = os.read(self._answers, 1 << 16)
            assert part, "the browser has gone"
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\0")
        said = json.loads(line)
        assert isinstance(said, dict)
        return said

    def open(self, url: str) -> "Page":
        """A new page in a context of its own."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable", session)
        self.call("Page.navigate", session, url=url)
        return page


class Page:
    def __init__(self, browser: Browser, session: str) -> None:
        self.browser = browser
        self.session = session

    def run(self, script: str) -> Any:
        """What an expression of the page is, waited for where it is a promise."""
        done = self.browser.call(
            "Runtime.evaluate", self.session, expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, script: str, holds: Callable[[Any], bool] = bool) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if holds(found := self.run(script)):
                    return found
            except Navigating:
                found = None
            assert time.monotonic() < deadline, (script, found, self.browser.events[-10:])
            time.sleep(0.02)

    def leave(self, script: str) -> None:
        """Run what leads to another page."""
        self.run(f"void setTimeout(() => {{ {script} }}, 0)")

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element, wherever its pixels come from; once there are pixels."""
        self.until(PAINTED)
        middle = self.run(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            where = {"type": kind, "x": middle[0], "y": middle[1], "button": "left", "clickCount": 1}
            self.browser.call("Input.dispatchMouseEvent", self.session, **where)

    def click_until(self, selector: str, script: str) -> None:
        """Click as a person does: again where nothing came of it.

        A frame of another site paints a moment after it has loaded; until then the browser gives a click to the page.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.click(selector)
            clicked = time.monotonic()
            while time.monotonic() < clicked + 2:
                if self.run(script):
                    return
                time.sleep(0.02)
            assert time.monotonic() < deadline, (script, self.browser.events[-10:])

    def type(self, text: str) -> None:
        """Press keys: they go to whatever has the focus, in whichever frame."""
        self.until(PAINTED)
        for letter in text:
            for kind in ("keyDown", "keyUp"):
                more = {"text": letter} if kind == "keyDown" else {}
                self.browser.call("Input.dispatchKeyEvent", self.session, type=kind, key=letter, **more)

    def picture(self) -> bytes:
        return base64.b64decode(self.browser.call("Page.captureScreenshot", self.session)["data"])


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, gone at the end."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert program is not None, PACKAGE
    orders_out, orders_in = os.pipe()
    answers_out, answers_in = os.pipe()

    def place() -> None:
        os.dup2(orders_out, _READ_FD)
        os.dup2(answers_in, _WRITE_FD)

    orders_out, answers_in = (_above(fd) for fd in (orders_out, answers_in))
    process = subprocess.Popen(
        [
            *(program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={folder}", "--no-first-run"),
            *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
            *("--disable-component-update", "--disable-sync", "--password-store=basic", "--site-per-process"),
            *("--window-size=800,600", "--host-resolver-rules=MAP *.example 127.0.0.1"),
        ],
        preexec_fn=place,  # noqa: PLW1509 - the pipes have to lie where the browser looks for them
        pass_fds=(_READ_FD, _WRITE_FD),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(orders_out)
    os.close(answers_in)
    try:
        yield Browser(process, orders_in, answers_out)
    finally:
        process.kill()
        process.wait()
        os.close(orders_in)
        os.close(answers_out)


def _above(fd: int) -> int:
    """The same pipe under a number that is not one of the browser's."""
    import fcntl

    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return moved
