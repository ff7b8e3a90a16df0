"""The same server around an application that does nothing: it reads a request's body and answers 201 `{}`.

Run as `python -m bench.noop`; prints its port.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from kessai import server
from kessai.server import Message

_START: Final = {
    "type": "http.response.start",
    "status": 201,
    "headers": [(b"content-type", b"application/hal+json;charset=utf-8"), (b"content-length", b"2")],
}
_BODY: Final = {"type": "http.response.body", "body": b"{}"}


async def answer(
    _scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send(_BODY)


def main() -> None:
    server.run(server.serve(answer, server.Settings(port=0), lambda port: print(port, flush=True)))


if __name__ == "__main__":
    main()
