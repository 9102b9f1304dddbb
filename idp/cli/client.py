import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from idp.cli import context
from idp.cli.context import ACTOR, Opened, Refusal
from idp.clients import registration
from idp.clients.client import Client
from idp.clients.metadata import ClientMetadata, change_metadata, parse_metadata
from idp.clients.registration import Registered, UnknownClientError
from idp.storage.database import Transaction

app = typer.Typer(help="Register client applications and change them.", no_args_is_help=True)

_PAGE = 500
_DURATION = re.compile(r"([0-9]{1,6})([smhd]?)")
_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _read_duration(text: str) -> timedelta:
    parts = _DURATION.fullmatch(text)
    if parts is None:
        raise typer.BadParameter("give a number and a unit, for example 30m, 24h or 7d")
    return timedelta(**{_UNITS[parts[2]]: int(parts[1])})


Id = Annotated[str, typer.Argument(metavar="CLIENT_ID", show_default=False, help="The client's identifier.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str | None, typer.Option("--name", help="The name that people see on the consent page.")]
RedirectUris = Annotated[
    list[str] | None,
    typer.Option("--redirect-uri", metavar="URI", help="Where answers may go, exactly; may be repeated."),
]
PostLogoutRedirectUris = Annotated[
    list[str] | None,
    typer.Option(
        "--post-logout-redirect-uri", metavar="URI", help="Where to go after sign-out; may be repeated."
    ),
]
Public = Annotated[
    bool | None,
    typer.Option(
        "--public/--confidential",
        show_default=False,
        help="Whether it is an app that cannot keep a secret (single-page, mobile, desktop).",
    ),
]
Native = Annotated[
    bool | None,
    typer.Option("--native/--web", show_default=False, help="Whether it is a mobile or desktop app."),
]
FirstParty = Annotated[
    bool | None,
    typer.Option(
        "--first-party/--third-party",
        show_default=False,
        help="Whether it is the provider's own app, for which nobody is asked to consent.",
    ),
]
Scope = Annotated[
    str | None, typer.Option("--scope", help="The scope values it may ask for, in one quoted string.")
]
GrantTypes = Annotated[
    list[str] | None,
    typer.Option(
        "--grant-type",
        metavar="GRANT",
        help="authorization_code, refresh_token or client_credentials; may be repeated.",
    ),
]
Audiences = Annotated[
    list[str] | None,
    typer.Option("--audience", metavar="URI", help="An API it may ask tokens for; may be repeated."),
]
FromFile = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE.json",
        exists=True,
        dir_okay=False,
        help="Metadata by the names of RFC 7591; options on the command line win.",
    ),
]


@app.command(
    epilog="Example: idp client create --name 'Demo App' --redirect-uri https://app.example.com/callback"
)
def create(
    ctx: typer.Context,
    *,
    name: Name = None,
    redirect_uri: RedirectUris = None,
    post_logout_redirect_uri: PostLogoutRedirectUris = None,
    public: Public = None,
    native: Native = None,
    first_party: FirstParty = None,
    scope: Scope = None,
    grant_type: GrantTypes = None,
    audience: Audiences = None,
    client_id: Annotated[
        str | None, typer.Option("--client-id", help="An identifier of your own. Default: a random one.")
    ] = None,
    from_file: FromFile = None,
    as_json: Json = False,
) -> None:
    """Register a client and print its identifier and, this once, its secret."""
    values = _read_file(from_file) | _options(
        name=name,
        redirect_uris=redirect_uri,
        post_logout_redirect_uris=post_logout_redirect_uri,
        is_public=public,
        is_native=native,
        scope=scope,
        grant_types=grant_type,
        audiences=audience,
    )
    if "client_name" not in values:
        raise typer.BadParameter("give --name, or --from a file with client_name", ctx=ctx)
    metadata = parse_metadata(values)

    async def act(opened: Opened) -> Registered:
        return await opened.database.transact(
            registration.register,
            metadata=metadata,
            is_first_party=bool(first_party),
            client_id=client_id,
            now=opened.clock(),
            actor=ACTOR,
        )

    _print_registered(context.run(ctx, act), as_json=as_json)


@app.command(epilog="Example: idp client update CLIENT_ID --redirect-uri https://app.example.com/callback")
def update(
    ctx: typer.Context,
    client_id: Id,
    *,
    name: Name = None,
    redirect_uri: RedirectUris = None,
    post_logout_redirect_uri: PostLogoutRedirectUris = None,
    public: Public = None,
    native: Native = None,
    first_party: FirstParty = None,
    scope: Scope = None,
    grant_type: GrantTypes = None,
    audience: Audiences = None,
    from_file: FromFile = None,
    as_json: Json = False,
) -> None:
    """Replace what is given and keep the rest; in a file, null takes a field back to its default."""
    changes = _read_file(from_file) | _options(
        name=name,
        redirect_uris=redirect_uri,
        post_logout_redirect_uris=post_logout_redirect_uri,
        is_public=public,
        is_native=native,
        scope=scope,
        grant_types=grant_type,
        audiences=audience,
    )

    async def change(tx: Transaction, *, now: datetime) -> Registered:
        client = await registration.show(tx, client_id=client_id)
        if client is None:
            raise UnknownClientError("there is no such client")
        return await registration.update(
            tx,
            client_id=client_id,
            metadata=change_metadata(client.metadata, changes),
            is_first_party=client.is_first_party if first_party is None else first_party,
            seen_version=client.version,
            now=now,
            actor=ACTOR,
        )

    async def act(opened: Opened) -> Registered:
        return await opened.database.transact(change, now=opened.clock())

    _print_registered(context.run(ctx, act), as_json=as_json)


@app.command(name="list", epilog="Example: idp client list --json")
def list_(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List every client."""

    async def act(opened: Opened) -> list[Client]:
        found: list[Client] = []
        while page := await opened.database.read(
            registration.list_clients, after=found[-1].id if found else "", limit=_PAGE
        ):
            found += page
        return found

    listed = context.run(ctx, act)
    if as_json:
        context.print_json([_spelt(client) for client in listed])
        return
    rows = [
        (
            client.id,
            "public" if client.is_public else "confidential",
            "disabled" if client.is_disabled else "enabled",
            client.metadata.client_name,
        )
        for client in listed
    ]
    context.print_table(("CLIENT_ID", "KIND", "STATE", "NAME"), rows)


@app.command(epilog="Example: idp client show CLIENT_ID --json")
def show(ctx: typer.Context, client_id: Id, *, as_json: Json = False) -> None:
    """Show what is registered for a client; its secrets are never shown."""

    async def act(opened: Opened) -> Client | None:
        return await opened.database.read(registration.show, client_id=client_id)

    client = context.run(ctx, act)
    if client is None:
        raise UnknownClientError("there is no such client")
    (context.print_json if as_json else context.print_fields)(_spelt(client))


@app.command(epilog="Example: idp client delete CLIENT_ID")
def delete(ctx: typer.Context, client_id: Id) -> None:
    """Forget a client, and end at once all that it was given."""

    async def act(opened: Opened) -> None:
        await opened.database.transact(
            registration.delete, client_id=client_id, now=opened.clock(), actor=ACTOR
        )

    context.run(ctx, act)
    typer.echo(f"{client_id} is deleted.")


@app.command(name="rotate-secret", epilog="Example: idp client rotate-secret CLIENT_ID --overlap 24h")
def rotate_secret(
    ctx: typer.Context,
    client_id: Id,
    *,
    overlap: Annotated[
        timedelta,
        typer.Option(
            parser=_read_duration,
            metavar="DURATION",
            help="How long the present secret works on, as 30m or 24h.",
        ),
    ] = "0",  # type: ignore[assignment]  # Typer reads a default as it would read the option's text
    as_json: Json = False,
) -> None:
    """Give a client a new secret and print it, this once; the present one ends now or after the overlap."""

    async def act(opened: Opened) -> str:
        return await opened.database.transact(
            registration.rotate_secret,
            client_id=client_id,
            overlap=overlap,
            now=opened.clock(),
            actor=ACTOR,
        )

    rotated = {"client_id": client_id, "client_secret": context.run(ctx, act)}
    (context.print_json if as_json else context.print_fields)(rotated)


@app.command(epilog="Example: idp client disable CLIENT_ID")
def disable(ctx: typer.Context, client_id: Id) -> None:
    """Switch a client off, and end at once all that it was given."""

    async def act(opened: Opened) -> None:
        await opened.database.transact(
            registration.disable, client_id=client_id, now=opened.clock(), actor=ACTOR
        )

    context.run(ctx, act)
    typer.echo(f"{client_id} is disabled.")


@app.command(epilog="Example: idp client enable CLIENT_ID")
def enable(ctx: typer.Context, client_id: Id) -> None:
    """Switch a client on again; people sign in to it anew."""

    async def act(opened: Opened) -> None:
        await opened.database.transact(
            registration.enable, client_id=client_id, now=opened.clock(), actor=ACTOR
        )

    context.run(ctx, act)
    typer.echo(f"{client_id} is enabled.")


def _options(
    *,
    name: str | None,
    redirect_uris: list[str] | None,
    post_logout_redirect_uris: list[str] | None,
    is_public: bool | None,
    is_native: bool | None,
    scope: str | None,
    grant_types: list[str] | None,
    audiences: list[str] | None,
) -> dict[str, object]:
    """Answer what was given on the command line, by the names of RFC 7591."""
    given: dict[str, object] = {
        "client_name": name,
        "redirect_uris": redirect_uris or None,
        "post_logout_redirect_uris": post_logout_redirect_uris or None,
        "scope": scope,
        "grant_types": grant_types or None,
        "audiences": audiences or None,
    }
    if is_public is not None:
        given["token_endpoint_auth_method"] = "none" if is_public else "client_secret_basic"
    if is_native is not None:
        given["application_type"] = "native" if is_native else "web"
    return {field: value for field, value in given.items() if value is not None}


def _read_file(file: Path | None) -> dict[str, object]:
    if file is None:
        return {}
    try:
        values: object = json.loads(file.read_bytes())
    except (OSError, ValueError) as fault:
        raise Refusal(f"{file} is not readable JSON") from fault
    if not isinstance(values, dict):
        raise Refusal(f"{file} must hold one JSON object, the client's metadata")
    return values


def _print_registered(registered: Registered, *, as_json: bool) -> None:
    client, client_secret = registered.client, registered.client_secret
    secret: dict[str, object] = {"client_secret": client_secret} if client_secret else {}
    if as_json:
        # RFC 7591 §3.2.1: 0 means that the secret does not expire.
        expiry: dict[str, object] = {"client_secret_expires_at": 0} if client_secret else {}
        context.print_json({"client_id": client.id} | secret | expiry | _spelt(client))
        return
    context.print_fields({"client_id": client.id} | secret)
    if client_secret:
        typer.echo("Keep the secret now: it is not stored and not shown again.", err=True)


def _spelt(client: Client) -> dict[str, object]:
    metadata: ClientMetadata = client.metadata
    return {
        "client_id": client.id,
        **metadata.to_dict(),
        "is_first_party": client.is_first_party,
        "is_disabled": client.is_disabled,
        "version": client.version,
        "client_id_issued_at": int(client.created_at.timestamp()),
        "updated_at": client.updated_at.isoformat(),
        "secret_ends_at": [
            secret.expires_at.isoformat() if secret.expires_at else None for secret in client.secrets
        ],
    }
