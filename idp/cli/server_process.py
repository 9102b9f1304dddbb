"""What `idp dev` and `idp serve` share: the ports, the one process on an embedded database, the stopping."""

import errno
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp

from idp import metrics
from idp.app import Provider
from idp.cli.context import Refusal
from idp.lifecycle import StartupError
from idp.settings import Settings
from idp.storage.database import sqlite_file
from idp.storage.sqlite_lock import SecondServerError, only_server

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.server")

BACKLOG = 2048
# Longer than the minute for which reverse proxies keep an idle connection, so that they close it first.
KEEP_ALIVE_SECONDS = 75
# Beyond this many connections one process answers 503 at once rather than everybody late.
MAX_CONNECTIONS = 2_000
_STOPPING = (signal.SIGINT, signal.SIGTERM)


def listen(host: str, port: int, *, remedy: str) -> list[socket.socket]:
    """Listen on every address of a name ("localhost" may have two). Refused with the remedy when in use."""
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            opened = _listen(family, address)
            if opened:
                sockets.append(opened)
    except OSError as fault:
        for opened in sockets:
            opened.close()
        raise Refusal(_why(fault, host=host, port=port, remedy=remedy)) from fault
    if not sockets:
        raise Refusal(f"{host} is no address of this machine; {remedy}")
    return sockets


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as fault:
        raise Refusal(f"{host} is no address of this machine") from fault
    return [(family, (str(address[0]), port)) for family, _type, _protocol, _name, address in found]


def _listen(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket | None:
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        opened.bind(address)
        # At once: with SO_REUSEADDR it is listening, not binding, that tells whether a port is free.
        opened.listen(BACKLOG)
    except OSError as fault:
        opened.close()
        # A name may have an address of a kind that this machine has switched off.
        if fault.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
            return None
        raise
    return opened


def _why(fault: OSError, *, host: str, port: int, remedy: str) -> str:
    if fault.errno == errno.EADDRINUSE:
        return f"port {port} is in use; stop what uses it, or {remedy}"
    if fault.errno == errno.EACCES:
        return f"port {port} may not be used by this user; {remedy}"
    return f"{host} port {port} cannot be used ({fault.strerror}); {remedy}"


@contextmanager
def alone_on_sqlite(settings: Settings) -> Iterator[None]:
    """Refuse to be the second server process on an embedded database."""
    file = sqlite_file(settings.database_url)
    if file is None:
        yield
        return
    try:
        with only_server(file):
            yield
    except SecondServerError as fault:
        raise Refusal(str(fault)) from fault


@asynccontextmanager
async def started(provider: Provider) -> AsyncIterator[None]:
    """Start a node before anything is served, and stop it afterwards. Refused where it may not join."""
    try:
        await provider.lifecycle.start()
    except StartupError as fault:
        await provider.lifecycle.stop()
        raise Refusal(str(fault)) from fault
    try:
        yield
    finally:
        await provider.lifecycle.stop()


def configuration(
    app: ASGIApp | Callable[[], ASGIApp], *, graceful_seconds: int, workers: int = 1
) -> uvicorn.Config:
    """Answer how uvicorn serves; with several workers, `app` makes the application in each of them."""
    return uvicorn.Config(
        app,
        factory=workers > 1,
        workers=workers,
        # One process is started and stopped by `started`, so that a refusal is a line and no traceback.
        lifespan="on" if workers > 1 else "off",
        loop="uvloop",
        http="httptools",
        ws="none",
        # X-Forwarded-For is ours to judge (web/client_address.py); so is the log of requests.
        proxy_headers=False,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        backlog=BACKLOG,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=graceful_seconds,
    )


@contextmanager
def metrics_apart(settings: Settings, *, host: str) -> Iterator[None]:
    """Serve `/metrics` on the management port, where one is set."""
    if settings.management_port is None:
        yield
        return
    try:
        stop = metrics.serve_apart(address=host, port=settings.management_port)
    except OSError as fault:
        raise Refusal(
            _why(fault, host=host, port=settings.management_port, remedy="set IDP_MANAGEMENT_PORT to another")
        ) from fault
    try:
        yield
    finally:
        stop()


async def serve(config: uvicorn.Config, sockets: list[socket.socket]) -> None:
    """Serve until Ctrl-C or SIGTERM, then finish what is under way and return."""
    server = uvicorn.Server(config)
    # uvicorn raises the signal again when it has stopped; by then nothing is left to interrupt.
    before = {number: signal.signal(number, server.handle_exit) for number in _STOPPING}
    try:
        await server.serve(sockets=sockets)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def log_everything() -> None:
    """Bring what libraries log (a warning and more) into our own log, in its format."""
    logging.basicConfig(level=logging.WARNING, handlers=[_IntoOurLog()], force=True)


class _IntoOurLog(logging.Handler):
    """Passes a library's record on as an event of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] else None
        log.log(
            record.levelno,
            "library_message",
            library=record.name,
            text=record.getMessage(),
            exc_info=exc_info,
        )
