"""The socket and the address of the page. Does not import torch."""

import errno
import importlib.util
import socket

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.installation import pip_install


def check_installed() -> None:
    """Raises UserError where the packages of the extra `demo` are missing."""
    if missing := [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]:
        raise UserError(f"{' and '.join(missing)}: not installed: {pip_install('demo')}")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UserError where the port is taken or `host` is not an address of this machine."""
    if not 0 <= port <= 65535:
        raise UserError(f"port={port}: must be 0 (any free one) to 65535")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port={port}: in use: choose another, or port=0 for any free one") from None
        if error.errno == errno.EACCES:
            raise UserError(
                f"port={port}: not permitted: choose one from 1024 on, or port=0 for any free one"
            ) from None
        raise UserError(f"host={host}: no address of this machine ({error.strerror}): leave it 127.0.0.1") from None


def address(listener: socket.socket) -> str:
    """The page's URL."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
