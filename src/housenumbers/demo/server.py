"""Serves the page, its script, example crops and predictions. Writes no files."""

import asyncio
import ipaddress
import logging
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

from housenumbers.demo.answers import Models, answer, examples
from housenumbers.demo.image_input import MAX_BYTES
from housenumbers.demo.request_checks import (
    RefusalResponse,
    RefusedError,
    ShutdownMiddleware,
    check_length,
    check_sender,
    read_body,
)
from housenumbers.reports.page import render
from housenumbers.runtime import signals
from housenumbers.runtime.errors import UserError

_HERE = Path(__file__).parent
_MAX_BODIES = 8  # in memory at once
_MAX_CONNECTIONS = 256
_HEADERS = [
    ("Cache-Control", "no-store"),  # the browser stores nothing either
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
]


class _Server(uvicorn.Server):
    """Leaves signals to `runtime.signals`: uvicorn exits with code 0 where SIGINT was ignored before."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # a compatible context manager
        return nullcontext()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or signals.received()


def serve(models: Models, listener: socket.socket) -> None:
    """Serves requests until SIGINT or SIGTERM, then raises SystemExit."""
    config = uvicorn.Config(
        application(models, listener.getsockname()[0]),
        log_config=None,
        log_level="error",  # hides warnings about invalid HTTP requests
        limit_concurrency=_MAX_CONNECTIONS,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=_HEADERS,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=3,
    )
    logging.getLogger("uvicorn.error").addFilter(lambda record: not record.getMessage().startswith("Cancel "))
    with signals.deferred_signals(), warnings.catch_warnings(action="ignore"):  # Pillow warns about unusual files
        _Server(config).run(sockets=[listener])


def application(models: Models, host: str) -> Starlette:
    """The page as an ASGI application that answers requests for `host`, an IP address."""
    body_slots = asyncio.Semaphore(_MAX_BODIES)  # other requests wait before their bodies are read
    model_lock = asyncio.Lock()  # one image at a time: a large image takes memory, and a model takes all cores
    rendering = asyncio.Lock()  # rendering the examples takes seconds once, and does not block predictions

    def named_model(request: Request) -> str:
        if run := request.query_params.get("run"):
            return run
        path = request.url.path
        raise RefusedError(400, f"No model is named: ask for {path}?run=FOLDER with a folder that the page offers.")

    async def page(_: Request) -> Response:
        runs = await run_in_threadpool(models.choices)
        return HTMLResponse(render("demo_page.html", {"runs": runs, "max_bytes": MAX_BYTES}, _HERE))

    async def script(_: Request) -> Response:
        return FileResponse(_HERE / "demo_page.js")

    async def rendered(request: Request) -> Response:
        run = named_model(request)
        async with model_lock:
            trained = await run_in_threadpool(models.load, run)
        async with rendering:
            return JSONResponse(await run_in_threadpool(examples, trained))

    async def answers(request: Request) -> Response:
        check_sender(request)
        run = named_model(request)
        check_length(request)
        async with body_slots:
            content = await read_body(request)
            async with model_lock:
                if await request.is_disconnected():
                    raise ClientDisconnect
                trained = await run_in_threadpool(models.load, run)
                drawn = bool(request.query_params.get("drawn"))
                return JSONResponse(await run_in_threadpool(answer, trained, content, drawn))

    async def user_error(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)})

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        return RefusalResponse(error)

    async def disconnected(*_: object) -> Response:  # the client has closed the connection
        return Response(status_code=400)

    routes = [Route("/", page), Route("/demo_page.js", script), Route("/examples", rendered)]
    return Starlette(
        routes=[*routes, Route("/answer", answers, methods=["POST"])],
        exception_handlers={ClientDisconnect: disconnected, UserError: user_error, RefusedError: refused},
        middleware=[Middleware(ShutdownMiddleware), Middleware(TrustedHostMiddleware, allowed_hosts=_names(host))],
    )


def _names(host: str) -> list[str]:
    """The allowed Host headers. On loopback only local names, which prevents DNS rebinding."""
    if ipaddress.ip_address(host).is_loopback:
        return ["localhost", host, f"[{host}]"]
    return ["*"]
