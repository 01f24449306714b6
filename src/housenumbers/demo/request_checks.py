"""What a visitor sends: taken in from the page alone, and within bounds of size and time."""

import asyncio
import time

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from housenumbers.demo.image_input import MOST_BYTES

_DEADLINE = 30.0  # seconds for a whole body to come
# What is read, and forgotten, after a refusal: most clients send all before they look for an answer.
_REST_BYTES, _REST_SECONDS = 5 * MOST_BYTES, 5.0


class RefusedError(Exception):
    """A request that is not dealt with: its HTTP status, and what the page shows."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check_sender(request: Request) -> None:
    """Raises RefusedError for what another page than this server's own sends, as the browser says."""
    host = request.headers.get("host", "").lower()
    own = (f"http://{host}", f"https://{host}")
    elsewhere = [origin for origin in request.headers.getlist("origin") if origin.lower() not in own]
    if elsewhere or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise RefusedError(403, "Only this page may ask.")


def check_length(request: Request) -> None:
    """Raises RefusedError for a body that is said to be too large: before anything of it is read."""
    if int(request.headers.get("content-length", 0)) > MOST_BYTES:
        raise _too_large()


async def read_body(request: Request) -> bytes:
    """The request's body. Raises RefusedError where it is too large or slow, ClientDisconnect where it breaks off."""
    content = bytearray()
    try:
        async with asyncio.timeout(_DEADLINE):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MOST_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise RefusedError(408, f"This upload took longer than {_DEADLINE:.0f} seconds.") from None
    return bytes(content)


class Refusal(JSONResponse):
    """Says why, then reads on for a while, and closes the connection.

    Whoever still sends would not read an answer from a connection that is closed under it.
    """

    def __init__(self, refused: RefusedError) -> None:
        super().__init__({"error": str(refused)}, refused.status, {"Connection": "close"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})
        try:
            await _forget(receive)
        finally:
            await send({"type": "http.response.body", "body": b""})


class EndsQuietly:
    """An application whose requests may be cancelled, as they are where the server ends before they do."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except asyncio.CancelledError:
            if not started:
                await JSONResponse({"error": "The server ends."}, 503)(scope, receive, send)


async def _forget(receive: Receive) -> None:
    end, forgotten = time.monotonic() + _REST_SECONDS, 0
    while forgotten <= _REST_BYTES:
        try:
            message = await asyncio.wait_for(receive(), end - time.monotonic())
        except TimeoutError:
            return
        if not message.get("more_body"):  # the end of the body, or of the connection
            return
        forgotten += len(message["body"])


def _too_large() -> RefusedError:
    return RefusedError(413, f"This file is too large: {MOST_BYTES // 10**6} MB at most.")
