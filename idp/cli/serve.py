import asyncio
from functools import partial
from socket import socket
from tempfile import TemporaryDirectory
from typing import Annotated

import structlog
import typer
import uvloop
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from idp import metrics
from idp.app import build_provider
from idp.cli import context, server_process
from idp.cli.context import Refusal
from idp.keys.master_key import load_master_key
from idp.settings import Settings
from idp.storage.database import sqlite_file

EXAMPLE = "Example: idp serve --host 0.0.0.0 --port 8000 --workers 4"

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.server")

DEFAULT_PORT = 8000
# What is under way may finish; orchestrators usually wait 30 seconds before they kill.
GRACEFUL_SECONDS = 10
MAX_WORKERS = 64

_Host = Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")]
_Port = Annotated[int, typer.Option(min=1, max=65_535, help="The port to listen on.")]
_Workers = Annotated[
    int, typer.Option(min=1, max=MAX_WORKERS, help="Server processes; more than one needs PostgreSQL.")
]


def serve(
    ctx: typer.Context, *, host: _Host = "127.0.0.1", port: _Port = DEFAULT_PORT, workers: _Workers = 1
) -> None:
    """Run the production server, behind a reverse proxy that speaks TLS; refuses an unsafe configuration."""
    settings = context.settings_of(ctx)
    _check(settings, workers=workers)
    sockets = server_process.listen(host, port, remedy="choose another with --port")
    with server_process.alone_on_sqlite(settings), TemporaryDirectory(prefix="idp-metrics-") as folder:
        if workers > 1:
            # Each worker counts for itself; whoever asks is told the sum.
            metrics.share_between_workers(folder)
        with server_process.metrics_apart(settings, host=host):
            if workers == 1:
                _serve_here(settings, sockets)
            else:
                _serve_in_workers(settings, sockets, workers=workers)


def _check(settings: Settings, *, workers: int) -> None:
    if workers > 1 and sqlite_file(settings.database_url) is not None:
        raise Refusal("database_url: an embedded database is for one process; use PostgreSQL, or --workers 1")
    load_master_key(settings.master_key_file)
    asyncio.run(context.require_newest_schema(settings.database_url))


def _serve_here(settings: Settings, sockets: list[socket]) -> None:
    provider = build_provider(settings)
    server_process.log_everything()

    async def run() -> None:
        async with server_process.started(provider):
            _announce(settings, sockets, workers=1)
            config = server_process.configuration(provider.asgi, graceful_seconds=GRACEFUL_SECONDS)
            await server_process.serve(config, sockets)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def _serve_in_workers(settings: Settings, sockets: list[socket], *, workers: int) -> None:
    # Once here, so that a refusal is one line and not one traceback for each worker.
    asyncio.run(_try_to_start(settings))
    server_process.log_everything()
    _announce(settings, sockets, workers=workers)
    config = server_process.configuration(
        partial(_build_in_worker, settings), graceful_seconds=GRACEFUL_SECONDS, workers=workers
    )
    supervisor = Multiprocess(config, sockets=sockets)
    supervisor.run()
    # A worker that was told to stop ends by that signal, which is a negative code.
    if any(process.exitcode and process.exitcode > 0 for process in supervisor.processes):
        raise Refusal("a worker process failed; the log says why")


async def _try_to_start(settings: Settings) -> None:
    async with server_process.started(build_provider(settings)):
        pass


def _build_in_worker(settings: Settings) -> ASGIApp:
    """Build a worker's node from the settings that the first process read and checked."""
    provider = build_provider(settings)
    server_process.log_everything()
    return provider.asgi


def _announce(settings: Settings, sockets: list[socket], *, workers: int) -> None:
    for opened in sockets:
        host, port = opened.getsockname()[:2]
        log.info("serving", issuer=settings.issuer, address=f"{host} port {port}", workers=workers)
    if settings.is_https and not settings.trusted_proxies:
        # TLS ends at a proxy, so every caller would seem to be that proxy and share one rate limit.
        log.warning(
            "no_trusted_proxies", setting="trusted_proxies", remedy="name the reverse proxy's address"
        )
    if workers > 1 and settings.rate_limit.storage_url.startswith("memory:"):
        log.warning(
            "rate_limits_not_shared", setting="rate_limit.storage_url", remedy="name a redis:// address"
        )
