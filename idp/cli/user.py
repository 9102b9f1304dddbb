from datetime import datetime
from typing import Annotated

import typer

from idp.accounts import administration, email_address, enrolment_link
from idp.accounts.administration import ROLES, Role
from idp.accounts.email_address import EmailAddressText
from idp.cli import context, user_argument, user_profile
from idp.cli.context import ACTOR, Opened, Refusal
from idp.cli.user_argument import User
from idp.storage import accounts, credentials, email_addresses
from idp.storage.accounts import Account
from idp.storage.credentials import Credential
from idp.storage.database import Transaction
from idp.storage.email_addresses import EmailAddress

app = typer.Typer(help="Invite people and look after their accounts.", no_args_is_help=True)
app.command(name="update", epilog=user_profile.EXAMPLE)(user_profile.update)

_PAGE = 500


def _read_email(text: str) -> EmailAddressText:
    parsed = email_address.parse(text)
    if parsed is None:
        raise typer.BadParameter("give one e-mail address, for example ada@example.com")
    return parsed


def _read_role(text: str) -> Role:
    role = next((role for role in ROLES if role == text), None)
    if role is None:
        raise typer.BadParameter(f"give one of {', '.join(ROLES)}")
    return role


GivenRole = Annotated[
    Role, typer.Argument(metavar="ROLE", parser=_read_role, show_default=False, help=", ".join(ROLES))
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: idp user invite ada@example.com --name 'Ada Lovelace'")
def invite(
    ctx: typer.Context,
    email: Annotated[
        EmailAddressText,
        typer.Argument(metavar="EMAIL", parser=_read_email, show_default=False, help="Whom to invite."),
    ],
    *,
    name: Annotated[
        str | None,
        typer.Option("--name", parser=user_argument.read_name, help="The person's name; they can change it."),
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Make the person an administrator.")] = False,
    as_json: Json = False,
) -> None:
    """Print a one-time link with which its bearer creates an account with a passkey."""

    async def create(tx: Transaction, *, now: datetime) -> str:
        if await email_addresses.holder(tx, normalized=email.normalized):
            raise Refusal(
                f"{email.address} has an account already; for a new passkey: idp user recover {email.address}"
            )
        return await enrolment_link.create_invitation(
            tx, email=email, name=name or "", role="administrator" if admin else None, now=now, actor=ACTOR
        )

    async def act(opened: Opened) -> tuple[str, datetime]:
        now = opened.clock()
        token = await opened.database.transact(create, now=now)
        return _link(opened, token), now + enrolment_link.INVITATION_LIFETIME

    _print_link(*context.run(ctx, act), as_json=as_json)


@app.command(epilog="Example: idp user recover ada@example.com")
def recover(ctx: typer.Context, user: User, *, as_json: Json = False) -> None:
    """Print a one-time link that gives an account another passkey. Make sure first who is asking."""

    async def create(tx: Transaction, *, now: datetime) -> str:
        account = await user_argument.require(tx, user)
        token = await enrolment_link.create_recovery_link(tx, account_id=account.id, now=now, actor=ACTOR)
        if token is None:
            raise Refusal(f"the account is {account.status}, not active")
        return token

    async def act(opened: Opened) -> tuple[str, datetime]:
        now = opened.clock()
        token = await opened.database.transact(create, now=now)
        return _link(opened, token), now + enrolment_link.RECOVERY_LIFETIME

    _print_link(*context.run(ctx, act), as_json=as_json)


@app.command(name="list", epilog="Example: idp user list --json")
def list_(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List every user."""

    async def read_page(tx: Transaction, *, after: str) -> list[tuple[Account, list[EmailAddress]]]:
        page = await accounts.search(tx, after=after, limit=_PAGE)
        return [(account, await email_addresses.of_account(tx, account_id=account.id)) for account in page]

    async def act(opened: Opened) -> list[tuple[Account, list[EmailAddress]]]:
        found: list[tuple[Account, list[EmailAddress]]] = []
        while page := await opened.database.read(read_page, after=found[-1][0].id if found else ""):
            found += page
        return found

    listed = context.run(ctx, act)
    if as_json:
        context.print_json([_spelt(account, addresses) for account, addresses in listed])
        return
    rows = [
        (
            account.id,
            account.status,
            account.role or "-",
            addresses[0].address if addresses else "-",
            account.name or "-",
        )
        for account, addresses in listed
    ]
    context.print_table(("USER_ID", "STATUS", "ROLE", "EMAIL", "NAME"), rows)


@app.command(epilog="Example: idp user show ada@example.com --json")
def show(ctx: typer.Context, user: User, *, as_json: Json = False) -> None:
    """Show a user's account, addresses and passkeys."""

    async def read(tx: Transaction) -> dict[str, object]:
        account = await user_argument.require(tx, user)
        addresses = await email_addresses.of_account(tx, account_id=account.id)
        passkeys = await credentials.of_account(tx, account_id=account.id)
        profile = account.profile or {}
        return (
            _spelt(account, addresses)
            | ({"profile": profile} if as_json else user_profile.flat(profile))
            | {"passkeys": _spelt_passkeys(passkeys, as_json=as_json)}
        )

    async def act(opened: Opened) -> dict[str, object]:
        return await opened.database.read(read)

    (context.print_json if as_json else context.print_fields)(context.run(ctx, act))


@app.command(epilog="Example: idp user disable ada@example.com")
def disable(ctx: typer.Context, user: User) -> None:
    """Keep a user from signing in, and end at once all that they have open."""

    async def change(tx: Transaction, *, now: datetime) -> None:
        account = await user_argument.require(tx, user)
        await administration.disable(tx, account_id=account.id, now=now, actor=ACTOR)

    async def act(opened: Opened) -> None:
        await opened.database.transact(change, now=opened.clock())

    context.run(ctx, act)
    typer.echo(f"{user} is disabled.")


@app.command(epilog="Example: idp user enable ada@example.com")
def enable(ctx: typer.Context, user: User) -> None:
    """Let a disabled user sign in again."""

    async def change(tx: Transaction, *, now: datetime) -> None:
        account = await user_argument.require(tx, user)
        if not await administration.enable(tx, account_id=account.id, now=now, actor=ACTOR):
            raise Refusal(f"the account is {account.status}, not disabled")

    async def act(opened: Opened) -> None:
        await opened.database.transact(change, now=opened.clock())

    context.run(ctx, act)
    typer.echo(f"{user} is enabled.")


@app.command(epilog="Example: idp user delete ada@example.com")
def delete(ctx: typer.Context, user: User) -> None:
    """Delete a user and what is known of them, for good."""

    async def change(tx: Transaction, *, now: datetime) -> None:
        account = await user_argument.require(tx, user)
        await administration.delete(tx, account_id=account.id, now=now, actor=ACTOR)

    async def act(opened: Opened) -> None:
        await opened.database.transact(change, now=opened.clock())

    context.run(ctx, act)
    typer.echo(f"{user} is deleted.")


@app.command(name="grant-role", epilog="Example: idp user grant-role ada@example.com administrator")
def grant_role(ctx: typer.Context, user: User, role: GivenRole) -> None:
    """Give a user a role in administration, in place of the one they have."""

    async def change(tx: Transaction, *, now: datetime) -> None:
        account = await user_argument.require(tx, user)
        await administration.set_role(tx, account_id=account.id, role=role, now=now, actor=ACTOR)

    async def act(opened: Opened) -> None:
        await opened.database.transact(change, now=opened.clock())

    context.run(ctx, act)
    typer.echo(f"{user} is {role}.")


@app.command(name="revoke-role", epilog="Example: idp user revoke-role ada@example.com administrator")
def revoke_role(ctx: typer.Context, user: User, role: GivenRole) -> None:
    """Take a role in administration from a user."""

    async def change(tx: Transaction, *, now: datetime) -> None:
        account = await user_argument.require(tx, user)
        if account.role != role:
            raise Refusal(f"{user} is not {role}")
        await administration.set_role(tx, account_id=account.id, role=None, now=now, actor=ACTOR)

    async def act(opened: Opened) -> None:
        await opened.database.transact(change, now=opened.clock())

    context.run(ctx, act)
    typer.echo(f"{user} is no longer {role}.")


def _link(opened: Opened, token: str) -> str:
    return f"{opened.settings.issuer}/enrol?token={token}"


def _print_link(link: str, expires_at: datetime, *, as_json: bool) -> None:
    if as_json:
        context.print_json({"link": link, "expires_at": expires_at.isoformat(timespec="seconds")})
        return
    typer.echo(link)
    typer.echo(
        f"It works once, until {expires_at:%Y-%m-%d %H:%M} UTC. Whoever has it has the account.", err=True
    )


def _spelt(account: Account, addresses: list[EmailAddress]) -> dict[str, object]:
    return {
        "id": account.id,
        "name": account.name,
        "status": account.status,
        "role": account.role,
        "email": addresses[0].address if addresses else None,
        "email_verified": bool(addresses) and addresses[0].verified_at is not None,
        "created_at": account.created_at.isoformat(timespec="seconds"),
    }


def _spelt_passkeys(passkeys: list[Credential], *, as_json: bool) -> list[object]:
    if not as_json:
        return [passkey.name for passkey in passkeys]
    return [
        {
            "name": passkey.name,
            "is_synced": passkey.backup_eligible,
            "is_clone_suspected": passkey.suspected_clone_at is not None,
            "created_at": passkey.created_at.isoformat(timespec="seconds"),
            "last_used_at": passkey.last_used_at.isoformat(timespec="seconds")
            if passkey.last_used_at
            else None,
        }
        for passkey in passkeys
    ]
