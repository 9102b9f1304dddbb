import asyncio
import json
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
import uvloop
from rich.console import Console
from starlette.types import ASGIApp, Receive, Scope, Send

from idp.accounts.enrolment_link import create_first_administrator_link
from idp.app import Provider, build_provider
from idp.cli import context, server_process
from idp.cli.context import ACTOR, Refusal
from idp.cli.migrate import make_place
from idp.clients import registration, secret
from idp.clients.metadata import ClientMetadata, parse_metadata
from idp.clock import system_clock
from idp.keys.master_key import write_new_master_key
from idp.settings import LOOPBACK_NAMES, Settings
from idp.storage.database import Transaction, sqlite_file
from idp.storage.migration import migrate

EXAMPLE = "Example: idp dev --demo-port 9001"

DEMO_CLIENT_ID = "demo"
DEMO_SECRET_FILE = "demo-client.json"  # noqa: S105 - a file's name
DEFAULT_DEMO_PORT = 9000
# Ctrl-C should feel immediate; what is under way on one's own machine ends within this.
GRACEFUL_SECONDS = 1
HTTP_PORT = 80
LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1/128")

_DemoPort = Annotated[
    int, typer.Option("--demo-port", metavar="PORT", min=1, max=65_535, help="The demo app's port.")
]


def dev(ctx: typer.Context, *, demo_port: _DemoPort = DEFAULT_DEMO_PORT) -> None:
    """Run the provider on an embedded database, and a demo app that people sign in to, on this machine."""
    settings = _with_this_machine(context.settings_of(ctx))
    host, port = _own_address(settings)
    demo_origin = f"http://{_spelt_host(host)}:{demo_port}"
    if demo_port == port:
        raise Refusal(f"port {port} is the provider's; choose another with --demo-port")
    sockets = server_process.listen(host, port, remedy="set IDP_ISSUER to an address with another port")
    sockets += server_process.listen(host, demo_port, remedy="choose another with --demo-port")
    _make_files(settings)
    with server_process.alone_on_sqlite(settings):
        asyncio.run(migrate(settings.database_url))
        provider = build_provider(settings)
        server_process.log_everything()

        async def serve() -> None:
            async with server_process.started(provider):
                demo = await _build_demo(provider, demo_origin=demo_origin)
                apps = {port: provider.asgi, demo_port: demo}
                await _print_addresses(provider, demo_origin=demo_origin)
                config = server_process.configuration(_by_port(apps), graceful_seconds=GRACEFUL_SECONDS)
                await server_process.serve(config, sockets)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())


async def keep_demo_client(
    tx: Transaction, *, metadata: ClientMetadata, known_secret: str | None, now: datetime
) -> str:
    """Register the demo app, or bring its registration up to date; answer a secret that works."""
    client = await registration.show(tx, client_id=DEMO_CLIENT_ID)
    if client is None:
        registered = await registration.register(
            tx, metadata=metadata, is_first_party=False, client_id=DEMO_CLIENT_ID, now=now, actor=ACTOR
        )
        if registered.client_secret is None:
            raise AssertionError
        return registered.client_secret
    if client.metadata != metadata:
        await registration.update(
            tx,
            client_id=DEMO_CLIENT_ID,
            metadata=metadata,
            is_first_party=client.is_first_party,
            seen_version=client.version,
            now=now,
            actor=ACTOR,
        )
    if known_secret is not None and secret.matches(client, known_secret, now=now):
        return known_secret
    return await registration.rotate_secret(
        tx, client_id=DEMO_CLIENT_ID, overlap=timedelta(0), now=now, actor=ACTOR
    )


def _with_this_machine(settings: Settings) -> Settings:
    """The demo app lives on this machine, and is told when people sign out."""
    networks = (*settings.outbound_networks, *LOOPBACK_NETWORKS)
    return settings.model_copy(update={"outbound_networks": networks})


def _own_address(settings: Settings) -> tuple[str, int]:
    parts = urlsplit(settings.issuer)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK_NAMES:
        raise Refusal(
            "issuer: idp dev serves this machine alone, at an address like http://localhost:8000; "
            "idp serve is for others"
        )
    return parts.hostname, parts.port or HTTP_PORT


def _spelt_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _make_files(settings: Settings) -> None:
    try:
        settings.data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise Refusal(
            f"data_directory: {settings.data_directory} cannot be made: {fault.strerror}"
        ) from fault
    if not settings.master_key_file.exists():
        write_new_master_key(settings.master_key_file)
    make_place(sqlite_file(settings.database_url))


async def _build_demo(provider: Provider, *, demo_origin: str) -> ASGIApp:
    # Authlib takes half a second to load, which no other command should wait for.
    from idp.demo import app as demo  # noqa: PLC0415

    audience = f"{demo_origin}/api"
    metadata = parse_metadata(
        {
            "client_name": "Demo App",
            "client_uri": demo_origin,
            "redirect_uris": [demo_origin + demo.CALLBACK_PATH],
            "post_logout_redirect_uris": [demo_origin + demo.SIGNED_OUT_PATH],
            "audiences": [audience],
            "default_audience": audience,
            "backchannel_logout_uri": demo_origin + demo.BACK_CHANNEL_LOGOUT_PATH,
            "backchannel_logout_session_required": True,
        }
    )
    file = provider.settings.data_directory / DEMO_SECRET_FILE
    client_secret = await provider.database.transact(
        keep_demo_client, metadata=metadata, known_secret=_read_secret(file), now=system_clock()
    )
    _write_secret(file, client_secret)
    return demo.build_demo(
        issuer=provider.settings.issuer,
        client_id=DEMO_CLIENT_ID,
        client_secret=client_secret,
        own_origin=demo_origin,
        api_audience=audience,
    )


def _read_secret(file: Path) -> str | None:
    try:
        kept = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None  # The first start, or somebody tidied up: there will be a new secret.
    value = kept.get("client_secret") if isinstance(kept, dict) else None
    return value if isinstance(value, str) else None


def _write_secret(file: Path, client_secret: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            json.dump({"client_id": DEMO_CLIENT_ID, "client_secret": client_secret}, opened)
    except OSError as fault:
        raise Refusal(f"data_directory: {file} cannot be written: {fault.strerror}") from fault


def _by_port(apps: Mapping[int, ASGIApp]) -> ASGIApp:
    """Serve each application on its own port; the socket decides, not what the request says of itself."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await apps[scope["server"][1]](scope, receive, send)

    return app


async def _print_addresses(provider: Provider, *, demo_origin: str) -> None:
    settings = provider.settings
    token = await provider.database.transact(create_first_administrator_link, now=system_clock())
    console = Console(highlight=False, soft_wrap=True)
    console.print()
    console.print(f"  Identity provider  [bold]{settings.issuer}[/bold]")
    console.print(f"  Demo app           [bold]{demo_origin}[/bold]  (begin here: “Sign in”)")
    if token:
        console.print()
        console.print("  There is no administrator yet. This link enrols the first one, once:")
        console.print(f"  [bold]{settings.issuer}/enrol?token={token}[/bold]")
    console.print()
    console.print(f"  Ctrl-C stops both; accounts and passkeys stay in {settings.data_directory}/.")
    console.print()
