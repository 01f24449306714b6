"""Serves the page: the page itself, its script, example crops, and answers. It writes no file."""

import asyncio
import ipaddress
import socket
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from housenumbers import interrupts
from housenumbers.demo.answers import Models, answer, examples
from housenumbers.demo.pictures import MOST_BYTES, drawing, picture
from housenumbers.errors import UserError
from housenumbers.reports.page import render

_HERE = Path(__file__).parent
_HEADERS = [
    ("Cache-Control", "no-store"),  # nor does the browser keep anything
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
]


class _Server(uvicorn.Server):
    """Leaves the signals to `interrupts`: uvicorn's own way ends with exit code 0 where SIGINT was ignored before."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # the same to `with`
        return nullcontext()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or interrupts.received()


def serve(models: Models, listener: socket.socket) -> None:
    """Answers until SIGINT or SIGTERM, which then raises SystemExit."""
    config = uvicorn.Config(
        application(models, listener.getsockname()[0]),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=_HEADERS,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=3,
    )
    with interrupts.undisturbed(), warnings.catch_warnings(action="ignore"):  # Pillow warns of odd files
        _Server(config).run(sockets=[listener])


def application(models: Models, host: str) -> Starlette:
    """The page as an ASGI application that answers requests for `host`, an IP address."""
    at_work = asyncio.Lock()  # one picture at a time: a large one takes memory, and a model all cores
    rendering = asyncio.Lock()  # takes seconds, once, which no picture waits for

    async def page(_: Request) -> Response:
        runs = await run_in_threadpool(models.choices)
        return HTMLResponse(render("demo_page.html", {"runs": runs}, _HERE))

    async def script(_: Request) -> Response:
        return FileResponse(_HERE / "demo_page.js")

    async def crops(_: Request) -> Response:
        async with rendering:
            return JSONResponse(await run_in_threadpool(examples))

    async def answers(request: Request) -> Response:
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return JSONResponse({"error": "Only this page may ask."}, 403)
        content = await _body(request)
        read = drawing if request.query_params.get("drawn") else picture
        try:
            async with at_work:
                if await request.is_disconnected():
                    raise ClientDisconnect
                trained = await run_in_threadpool(models.load, request.query_params.get("run", ""))
                return JSONResponse(await run_in_threadpool(lambda: answer(trained, read(content))))
        except UserError as error:
            return JSONResponse({"error": str(error)})
        except asyncio.CancelledError:  # the server ends, and has waited long enough for this answer
            return Response(status_code=503)

    async def gone(*_: object) -> Response:  # the visitor has something else to ask by now
        return Response(status_code=400)

    routes = [Route("/", page), Route("/demo_page.js", script), Route("/examples", crops)]
    return Starlette(
        routes=[*routes, Route("/answer", answers, methods=["POST"])],
        exception_handlers={ClientDisconnect: gone},
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_names(host))],
    )


async def _body(request: Request) -> bytes:
    """The body; of one that is too large its beginning, but all is read, or a browser would not read the answer."""
    body = bytearray()
    async for chunk in request.stream():
        if len(body) <= MOST_BYTES:
            body += chunk
    return bytes(body)


def _names(host: str) -> list[str]:
    """What a browser may call this server: on loopback no name that somebody else's name server points here."""
    if ipaddress.ip_address(host).is_loopback:
        return ["localhost", host, f"[{host}]"]
    return ["*"]
