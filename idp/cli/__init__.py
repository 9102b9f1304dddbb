"""The `idp` command: one file a command group, each command a few lines over the packages below.

Exit code 0: done; 1: refused, with the reason in one line on standard error; 2: wrong usage.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer

from idp import __version__
from idp.cli import audit, client, dev, keys, migrate, prune, serve, session, user
from idp.cli.context import Refusal
from idp.clients.registration import RegistrationError
from idp.errors import OAuthError, TemporarilyUnavailable
from idp.keys.master_key import MasterKeyError
from idp.settings import SettingsError

app = typer.Typer(
    name="idp",
    help="A passkey-first OAuth 2.1 and OpenID Connect identity provider.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="dev", epilog=dev.EXAMPLE)(dev.dev)
app.command(name="serve", epilog=serve.EXAMPLE)(serve.serve)
app.add_typer(client.app, name="client")
app.add_typer(user.app, name="user")
app.add_typer(session.app, name="session")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
app.command(name="migrate", epilog=migrate.EXAMPLE)(migrate.migrate)
app.command(name="prune", epilog=prune.EXAMPLE)(prune.prune)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code; a refusal is one line, never a traceback."""
    try:
        with _log_warnings_alone():
            app(arguments, prog_name="idp")
    except TemporarilyUnavailable as refusal:
        _refuse(refusal.detail or refusal.description)
    except OAuthError as refusal:
        _refuse(refusal.description)
    except (Refusal, SettingsError, MasterKeyError, RegistrationError) as refusal:
        _refuse(str(refusal))
    sys.exit(0)


@contextmanager
def _log_warnings_alone() -> Iterator[None]:
    """Keep the log to what needs attention, on standard error: what a command prints is its answer."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _refuse(reason: str) -> NoReturn:
    lines = [line.strip() for line in reason.splitlines()]
    # Several faults in one message have a heading, which ends in a colon.
    heading = lines.pop(0) if lines[0].endswith(":") else ""
    typer.echo(f"idp: {heading} {'; '.join(lines)}".replace("  ", " "), err=True)
    sys.exit(1)


def _print_version(is_asked: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if is_asked:
        typer.echo(f"idp {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: idp --config /etc/idp.toml client list")
def _configure(
    ctx: typer.Context,
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="IDP_CONFIG", metavar="FILE", help="The settings file. Default: config/idp.toml, if there."
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    ctx.obj = config
