"""Checks the sender of a request, and limits the size and the duration of its body."""

import asyncio
import time

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from housenumbers.demo.image_input import MAX_BYTES

_DEADLINE = 30.0  # seconds to receive a whole body
# Limits of the data read and discarded after a refusal: most clients send the whole body before they read a response.
_DISCARD_BYTES, _DISCARD_SECONDS = 5 * MAX_BYTES, 5.0


class RefusedError(Exception):
    """A refused request, with its HTTP status and the message that the page shows."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check_sender(request: Request) -> None:
    """Raises RefusedError for a request from another site's page, according to the browser's headers."""
    host = request.headers.get("host", "").lower()
    own_origins = (f"http://{host}", f"https://{host}")
    foreign_origins = [origin for origin in request.headers.getlist("origin") if origin.lower() not in own_origins]
    if foreign_origins or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise RefusedError(403, "Only this page may ask.")


def check_length(request: Request) -> None:
    """Raises RefusedError, before the body is read, where its Content-Length is too large."""
    if int(request.headers.get("content-length", 0)) > MAX_BYTES:
        raise _too_large()


async def read_body(request: Request) -> bytes:
    """The request's body. Raises RefusedError where it is too large or slow, ClientDisconnect where it breaks off."""
    content = bytearray()
    try:
        async with asyncio.timeout(_DEADLINE):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise RefusedError(408, f"This upload took longer than {_DEADLINE:.0f} seconds.") from None
    return bytes(content)


class RefusalResponse(JSONResponse):
    """Sends the reason, then reads the rest of the body within limits, and closes the connection.

    A client that is still sending would not read the response if the connection closed at once.
    """

    def __init__(self, refused: RefusedError) -> None:
        super().__init__({"error": str(refused)}, refused.status, {"Connection": "close"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})
        try:
            await _discard_body(receive)
        finally:
            await send({"type": "http.response.body", "body": b""})


class ShutdownMiddleware:
    """Middleware that answers requests with status 503 where a server shutdown cancels them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        except asyncio.CancelledError:
            if not started:
                await JSONResponse({"error": "The server ends."}, 503)(scope, receive, send)


async def _discard_body(receive: Receive) -> None:
    end, discarded = time.monotonic() + _DISCARD_SECONDS, 0
    while discarded <= _DISCARD_BYTES:
        try:
            message = await asyncio.wait_for(receive(), end - time.monotonic())
        except TimeoutError:
            return
        if not message.get("more_body"):  # the end of the body, or of the connection
            return
        discarded += len(message["body"])


def _too_large() -> RefusedError:
    return RefusedError(413, f"This file is too large: {MAX_BYTES // 10**6} MB at most.")
