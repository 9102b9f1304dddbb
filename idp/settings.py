import ipaddress
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

DEFAULT_FILE = Path("config/idp.toml")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
# How a browser spells an origin; a name outside ASCII is written in its xn-- form.
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")
_DEFAULT_PORTS = {"https": 443, "http": 80}

Rate = Annotated[str, Field(pattern=r"^[1-9][0-9]* per (?:[1-9][0-9]* )?(?:second|minute|hour|day)s?$")]


class SettingsError(Exception):
    """The configuration cannot be used; the message names every faulty setting and its remedy."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Smtp(_Section):
    """How mail leaves."""

    url: str | None = None
    """`smtp://user:password@host:587` or `smtps://…:465`. None: mails become files in `var/mail/`."""
    sender: str = "Sign-in <no-reply@localhost>"
    """The From header of every mail."""


class RateLimit(_Section):
    """How often strangers may ask."""

    storage_url: str = "memory://"
    """`memory://` counts in this process; `redis://host:6379/0` counts for all nodes together."""
    sign_in: Rate = "60 per minute"
    """Sign-in, sign-up and consent pages: requests for each address."""
    ceremony: Rate = "60 per minute"
    """Passkey ceremonies begun or finished: requests for each address."""
    mail: Rate = "5 per hour"
    """Mails that strangers can cause, for each mailbox."""
    token: Rate = "6000 per minute"  # noqa: S105 - a rate, no password
    """`POST /token`: requests for each address. One web application may ask for all of its users."""
    client_failures: Rate = "60 per minute"
    """Failed client authentications for each client and address."""


class Passkeys(_Section):
    """How passkey ceremonies are held."""

    rp_id: str | None = None
    """WebAuthn relying party id. None: the issuer's host name. Changing it orphans every passkey."""
    origins: tuple[str, ...] = ()
    """Origins beside the issuer's own that may run ceremonies (related origins)."""
    user_verification: Literal["required", "preferred"] = "required"
    """Whether the authenticator must check a fingerprint, face or PIN."""
    nudge_interval_days: int = Field(default=30, ge=1, le=3650)
    """After a sign-in with another device, how long until "Add a passkey to this device" is shown again."""


class Tokens(_Section):
    """How long what is issued lives, and what ends it early."""

    access_token_lifetime_seconds: int = Field(default=900, ge=60, le=86_400)
    """How long an access token is valid."""
    id_token_lifetime_seconds: int = Field(default=900, ge=60, le=86_400)
    """How long an ID Token is valid."""
    code_lifetime_seconds: int = Field(default=60, ge=5, le=60)
    """How long an authorization code waits to be redeemed (at most 60: OAuth 2.1, ASVS 10.4.3)."""
    refresh_absolute_lifetime_seconds: int = Field(default=30 * 86_400, ge=60)
    """After this, the person signs in again whatever happens."""
    refresh_idle_lifetime_seconds: int = Field(default=7 * 86_400, ge=60)
    """A refresh token unused for this long is dead."""
    refresh_retry_window_seconds: int = Field(default=30, ge=0, le=300)
    """How long a client whose answer was lost may send the same refresh token again."""
    status_list_ttl_seconds: int = Field(default=10, ge=2, le=3600)
    """How long a service may keep a status list: what is revoked is refused everywhere after this."""
    dpop_nonce_required: bool = False
    """Whether every DPoP proof must carry a nonce of ours; a nonce that is carried is checked in any case."""
    reuse_revokes: Literal["account", "client", "grant"] = "account"
    """What ends when an old refresh token comes back: all of the person's grants and sessions, those of this
    client, or this grant alone."""


class Sessions(_Section):
    """How long a browser stays signed in."""

    idle_lifetime_seconds: int = Field(default=86_400, ge=60)
    """A browser session unused for this long is over."""
    absolute_lifetime_seconds: int = Field(default=7 * 86_400, ge=60)
    """A browser session is over after this, however busy."""


class Accounts(_Section):
    """What people may do with their own accounts, and how it is made sure that it is them."""

    recent_confirmation_minutes: int = Field(default=5, ge=1, le=60)
    """How long a sign-in or a confirmation with a passkey also covers small changes and reads."""
    deletion_delay_days: int = Field(default=7, ge=0, le=90)
    """How long a person who asked for their account's deletion can still cancel it."""


class Keys(_Section):
    """How signing keys come and go."""

    rsa_bits: int = Field(default=2048, ge=2048, le=4096)
    """Size of a new RSA signing key."""
    jwks_max_age_seconds: int = Field(default=300, ge=10, le=86_400)
    """How long a verifier may keep the JWKS. A new key is published this long before it signs."""
    rotation_interval_seconds: int = Field(default=30 * 86_400, ge=3600)
    """How long a key signs before the next one takes over."""


class Database(_Section):
    """How the database is used."""

    pool_size: int = Field(default=10, ge=1, le=200)
    """Connections that each process keeps to PostgreSQL."""
    timeout_seconds: float = Field(default=5.0, gt=0, le=60)
    """How long one statement, or the wait for a free connection, may take before the answer is 503."""


class Settings(BaseSettings):
    """Everything an operator can set, read once at boot and never changed.

    Sources, later ones win: the defaults here, `config/idp.toml` (or `--config FILE`), `IDP_*` variables.
    """

    model_config = SettingsConfigDict(
        env_prefix="IDP_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        env_ignore_empty=True,
    )

    issuer: str = "http://localhost:8000"
    """The provider's public address, exactly as clients and tokens spell it."""
    service_name: str = Field(default="idp", min_length=1, max_length=64)
    """The provider's name on pages and mails."""
    database_url: str = "sqlite+aiosqlite:///var/idp.db"
    """`sqlite+aiosqlite:///path` for one machine or `postgresql+asyncpg://user@host/name`."""
    master_key_file: Path = Path("var/master.key")
    """32 random bytes as base64url on one line, mode 0600 (`idp keys new-master-key FILE` writes one)."""
    data_directory: Path = Path("var")
    """Where mail that no server takes is written, and what `idp dev` keeps of its demo app."""
    signup: Literal["open", "invite"] = "open"
    """Whether anyone may create an account, or only people with an invitation."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of our own reverse proxies, whose X-Forwarded-For is believed."""
    outbound_networks: tuple[str, ...] = ()
    """Networks of our own that requests to clients' addresses may reach; other inner addresses never are."""
    log_format: Literal["console", "json"] = "console"
    """`console` for people, `json` for machines: one line each."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe event that is written."""
    management_port: int | None = Field(default=None, ge=1, le=65_535)
    """A port of its own for `/metrics`. None: the main port, for loopback callers alone."""
    require_pushed_authorization_requests: bool = False
    """Whether every client must push its requests (RFC 9126), not only those registered for it."""
    smtp: Smtp = Smtp()
    rate_limit: RateLimit = RateLimit()
    passkeys: Passkeys = Passkeys()
    tokens: Tokens = Tokens()
    sessions: Sessions = Sessions()
    accounts: Accounts = Accounts()
    keys: Keys = Keys()
    database: Database = Database()

    @field_validator("issuer")
    @classmethod
    def _issuer_is_legal(cls, issuer: str) -> str:
        # RFC 8414 §2, OIDC Discovery §3: an https URL without query or fragment; http serves loopback alone.
        parts = urlsplit(issuer)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError("must be an https URL, for example https://id.example.com")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK_NAMES:
            raise ValueError("http is accepted on localhost only; use https")
        if parts.query or parts.fragment or "@" in parts.netloc or issuer.endswith(("/", "?", "#")):
            raise ValueError("must have no user, query, fragment or trailing slash")
        if issuer != issuer.lower() and parts.netloc != parts.netloc.lower():
            raise ValueError("must spell its host in lower case")
        # A path would need every well-known address twice; one deployment is one host name.
        if parts.path:
            raise ValueError("must have no path; give the provider a host name of its own")
        # WebAuthn L3 §7.1 (origin), OIDC Core §2 (iss): both are compared character by character, and a
        # browser never writes the default port.
        if parts.port == _DEFAULT_PORTS[parts.scheme]:
            raise ValueError("must leave out the default port, as browsers do")
        if not _ORIGIN.fullmatch(issuer):
            raise ValueError("must be spelt as browsers spell an origin, for example https://id.example.com")
        return issuer

    @field_validator("database_url")
    @classmethod
    def _database_is_supported(cls, url: str) -> str:
        if not url.startswith(("sqlite+aiosqlite:///", "postgresql+asyncpg://")):
            raise ValueError("must start with sqlite+aiosqlite:/// or postgresql+asyncpg://")
        return url

    @field_validator("trusted_proxies", "outbound_networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError as fault:
                raise ValueError(f"{network!r} is no address or network, for example 10.0.0.0/8") from fault
        return networks

    @model_validator(mode="after")
    def _rp_id_covers_the_issuer(self) -> Self:
        # WebAuthn L3 §5.1.2 (rp.id): the relying party id is the origin's host or a parent domain of it.
        host = self.issuer_host
        if (
            self.passkeys.rp_id
            and host != self.passkeys.rp_id
            and not host.endswith("." + self.passkeys.rp_id)
        ):
            raise ValueError(f"passkeys.rp_id must be {host} or a parent domain of it")
        return self

    @property
    def issuer_host(self) -> str:
        """The issuer's host name, without its port."""
        return urlsplit(self.issuer).hostname or ""

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the provider over TLS."""
        return self.issuer.startswith("https://")

    @property
    def rp_id(self) -> str:
        """The WebAuthn relying party id in force."""
        return self.passkeys.rp_id or self.issuer_host

    @property
    def expected_origins(self) -> tuple[str, ...]:
        """The exact origins that a passkey ceremony may come from."""
        return (self.issuer, *self.passkeys.origins)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class sets the signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose values arrive as init arguments."""
        return env_settings, init_settings


def load_settings(file: Path | None = None, **overrides: object) -> Settings:
    """Read the configuration; `file` None means `IDP_CONFIG`, or else `config/idp.toml` if it is there.

    `overrides` win over everything (command-line options). Raises SettingsError with every fault.
    """
    named = os.environ.get("IDP_CONFIG")
    chosen = file or (Path(named) if named else DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    values = _read_toml(chosen) if chosen else {}
    unknown = _unknown_variables()
    try:
        settings = Settings(**values)
    except ValidationError as fault:
        raise SettingsError(_all_faults(fault) + unknown) from fault
    if unknown:
        raise SettingsError("The configuration cannot be used:" + unknown)
    return settings.model_copy(update=overrides)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as fault:
        raise SettingsError(f"{file}: cannot be read ({fault.strerror})") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise SettingsError(f"{file}: is not valid TOML ({fault})") from fault


def _unknown_variables() -> str:
    """Name every IDP_ variable that is no setting: a misspelt one must not be passed over in silence."""
    known = {f"IDP_{name}".upper() for name in Settings.model_fields} | {"IDP_CONFIG"}
    names = (name for name in os.environ if name.startswith("IDP_"))
    unknown = sorted(name for name in names if name.split("__")[0].upper() not in known)
    return "".join(f"\n  {name}: is not a setting; see config/idp.toml" for name in unknown)


def _all_faults(fault: ValidationError) -> str:
    lines = ["The configuration cannot be used:"]
    for error in fault.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in error["loc"]) or "settings"
        variable = "IDP_" + "__".join(str(part).upper() for part in error["loc"]) if error["loc"] else ""
        text = error["msg"].removeprefix("Value error, ")
        lines.append(f"  {key}{f' ({variable})' if variable else ''}: {text}")
    return "\n".join(lines)
