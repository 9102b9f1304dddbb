"""The composition root: settings become endpoints, and the whole URL table stands on one screen."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp

from idp.clients.origins import ClientOrigins
from idp.clients.registry import ClientRegistry
from idp.clock import Clock, system_clock
from idp.keys.encryption import EncryptionAtRest
from idp.keys.keyring import Keyring
from idp.keys.master_key import MasterKey, load_master_key
from idp.lifecycle import Job, Lifecycle
from idp.notifications.delivery import deliver_due
from idp.notifications.mail import MailRenderer
from idp.notifications.transport import open_transport
from idp.oauth.authorization.consent import ConsentEndpoint
from idp.oauth.authorization.endpoint import AuthorizationEndpoint
from idp.oauth.discovery.jwks import JwksEndpoint
from idp.oauth.discovery.metadata import MetadataEndpoint
from idp.oauth.grant_token import GrantTokenKeys
from idp.oauth.inspection.userinfo import UserinfoEndpoint
from idp.oauth.logout.endpoint import LogoutConfirmEndpoint, LogoutEndpoint
from idp.oauth.token.authenticator import ClientAuthenticator
from idp.oauth.token.endpoint import TokenEndpoint
from idp.passkeys.authentication_strength import ACR_VALUES
from idp.pruning import prune
from idp.sessions.cookie import SessionCookies
from idp.settings import Settings, load_settings
from idp.storage.database import Database, open_database
from idp.web import client_address, log
from idp.web.browser import Browsers
from idp.web.client_response import ClientResponse
from idp.web.error_responses import ErrorResponses
from idp.web.health import LivenessEndpoint, ReadinessEndpoint
from idp.web.pages import Pages
from idp.web.rate_limit import RateLimiter
from idp.web.request_context import RequestContextMiddleware
from idp.web.routing import not_found, route
from idp.web.security_headers import SecurityHeadersMiddleware
from idp.web.static_files import StaticFiles

MAILS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Provider:
    """One node: its ASGI application, and the parts that commands and tests reach for."""

    asgi: ASGIApp
    settings: Settings
    database: Database
    keyring: Keyring
    lifecycle: Lifecycle


class _Parts:
    """What several endpoints share, made once."""

    def __init__(self, settings: Settings, *, master_key: MasterKey, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.master_key = master_key
        self.database = open_database(
            settings.database_url,
            pool_size=settings.database.pool_size,
            timeout_seconds=settings.database.timeout_seconds,
        )
        self.keyring = Keyring(self.database, master_key=master_key)
        mac_key = master_key.derive("grant tokens")
        self.grant_keys = GrantTokenKeys(newest=master_key.key_id, keys={master_key.key_id: mac_key})
        self.sealer = EncryptionAtRest(master_key)
        self.registry = ClientRegistry(self.database)
        self.origins = ClientOrigins(self.database)
        self.rate_limiter = RateLimiter(settings.rate_limit)
        self.sessions = SessionCookies(self.database, lifetimes=settings.sessions, is_https=settings.is_https)
        self.browsers = Browsers(
            csrf_key=master_key.derive("csrf tokens"), origin=settings.issuer, is_https=settings.is_https
        )
        self.static_files = StaticFiles()
        self.pages = Pages(
            browsers=self.browsers,
            static_files=self.static_files,
            service_name=settings.service_name,
            issuer=settings.issuer,
        )
        self.client_response = ClientResponse(pages=self.pages, issuer=settings.issuer)


def build_provider(settings: Settings, *, clock: Clock = system_clock) -> Provider:
    """Wire one node by hand. Nothing is opened before its lifespan starts. Raises MasterKeyError."""
    log.configure(log_format=settings.log_format, log_level=settings.log_level)
    parts = _Parts(settings, master_key=load_master_key(settings.master_key_file), clock=clock)
    lifecycle = _lifecycle(parts)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        await lifecycle.start()
        try:
            yield
        finally:
            await lifecycle.stop()

    router = Router(
        routes=_routes(parts, lifecycle), redirect_slashes=False, default=not_found, lifespan=lifespan
    )
    return Provider(
        asgi=_behind_middleware(router, parts),
        settings=settings,
        database=parts.database,
        keyring=parts.keyring,
        lifecycle=lifecycle,
    )


def create_app() -> ASGIApp:
    """Build the node that the environment describes; what each worker process of `idp serve` calls."""
    return build_provider(load_settings()).asgi


def _routes(parts: _Parts, lifecycle: Lifecycle) -> list[BaseRoute]:
    authenticator = ClientAuthenticator(registry=parts.registry, rate_limiter=parts.rate_limiter)
    logout = LogoutEndpoint(
        database=parts.database,
        registry=parts.registry,
        sessions=parts.sessions,
        browsers=parts.browsers,
        pages=parts.pages,
        keyring=parts.keyring,
        settings=parts.settings,
        clock=parts.clock,
    )
    metadata = MetadataEndpoint(settings=parts.settings, acr_values=ACR_VALUES)
    return [
        # Machines: the busiest first.
        route(
            "/token",
            TokenEndpoint(
                database=parts.database,
                authenticator=authenticator,
                origins=parts.origins,
                keyring=parts.keyring,
                keys=parts.grant_keys,
                sealer=parts.sealer,
                rate_limiter=parts.rate_limiter,
                settings=parts.settings,
                clock=parts.clock,
            ),
        ),
        route(
            "/userinfo",
            UserinfoEndpoint(
                database=parts.database,
                registry=parts.registry,
                origins=parts.origins,
                keyring=parts.keyring,
                settings=parts.settings,
                clock=parts.clock,
            ),
        ),
        route("/jwks", JwksEndpoint(keyring=parts.keyring, settings=parts.settings, clock=parts.clock)),
        route("/.well-known/openid-configuration", metadata),
        route("/.well-known/oauth-authorization-server", metadata),
        route("/healthz", LivenessEndpoint()),
        route(
            "/readyz",
            ReadinessEndpoint({"database": lifecycle.database_is_well, "keys": lifecycle.keys_are_fresh}),
        ),
        # People, sent here by an app.
        route(
            "/authorize",
            AuthorizationEndpoint(
                database=parts.database,
                registry=parts.registry,
                sessions=parts.sessions,
                browsers=parts.browsers,
                pages=parts.pages,
                client_response=parts.client_response,
                keyring=parts.keyring,
                keys=parts.grant_keys,
                rate_limiter=parts.rate_limiter,
                settings=parts.settings,
                clock=parts.clock,
            ),
        ),
        route(
            "/consent",
            ConsentEndpoint(
                database=parts.database,
                registry=parts.registry,
                sessions=parts.sessions,
                browsers=parts.browsers,
                pages=parts.pages,
                rate_limiter=parts.rate_limiter,
                clock=parts.clock,
            ),
        ),
        route("/logout", logout),
        route("/logout/confirm", LogoutConfirmEndpoint(logout)),
        route("/static/{name:path}", parts.static_files),
    ]


def _behind_middleware(router: ASGIApp, parts: _Parts) -> ASGIApp:
    """The outermost comes last: context, then headers, then errors, then the endpoints."""
    app: ASGIApp = ErrorResponses(
        router, pages=parts.pages, client_response=parts.client_response, issuer=parts.settings.issuer
    )
    app = SecurityHeadersMiddleware(app, is_https=parts.settings.is_https)
    trusted = client_address.parse_networks(parts.settings.trusted_proxies)
    return RequestContextMiddleware(app, trusted=trusted)


def _lifecycle(parts: _Parts) -> Lifecycle:
    settings = parts.settings
    transport = open_transport(
        settings.smtp.url, data_directory=settings.data_directory, issuer_host=settings.issuer_host
    )
    renderer = MailRenderer(
        issuer=settings.issuer,
        issuer_host=settings.issuer_host,
        service_name=settings.service_name,
        sender=settings.smtp.sender,
    )

    async def send_mail(now: datetime) -> None:
        await deliver_due(
            parts.database,
            transport=transport,
            sealer=parts.sealer,
            renderer=renderer,
            now=now,
            limit=MAILS_AT_ONCE,
        )

    jobs = (
        Job("reload_keys", timedelta(seconds=1), lambda now: parts.keyring.reload(now=now)),
        Job("send_mail", timedelta(seconds=1), send_mail),
        Job("prune", timedelta(minutes=10), lambda now: prune(parts.database, now=now)),
    )
    return Lifecycle(
        settings=settings,
        database=parts.database,
        master_key=parts.master_key,
        keyring=parts.keyring,
        jobs=jobs,
        clock=parts.clock,
    )
