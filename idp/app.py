"""The composition root: settings become one node, and the whole URL table stands on one screen."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from idp.accounts.account_deletion import delete_due
from idp.accounts.recover import RecoverEndpoint
from idp.clock import Clock, system_clock
from idp.keys.keyring import Keyring
from idp.keys.master_key import load_master_key
from idp.lifecycle import Job, Lifecycle
from idp.notifications.delivery import deliver_due
from idp.notifications.mail import MailRenderer
from idp.notifications.mail_sender import MailSender
from idp.notifications.transport import open_transport
from idp.oauth.discovery.jwks import JwksEndpoint
from idp.oauth.discovery.metadata import MetadataEndpoint
from idp.oauth.inspection.status_list import (
    StatusListAggregationEndpoint,
    StatusListEndpoint,
    StatusLists,
)
from idp.oauth.logout.back_channel import LogoutTokenSender
from idp.oauth.logout.endpoint import LogoutConfirmEndpoint
from idp.parts import Parts
from idp.passkeys import relying_party
from idp.passkeys.authentication_strength import ACR_VALUES
from idp.passkeys.endpoints.related_origins import RelatedOrigins
from idp.passkeys.endpoints.well_known import ChangePassword, PasskeyEndpoints
from idp.pruning import prune
from idp.settings import Settings
from idp.storage.database import Database
from idp.web import client_address, log
from idp.web.cors import CrossOriginMiddleware
from idp.web.error_responses import ErrorResponses
from idp.web.health import LivenessEndpoint, ReadinessEndpoint
from idp.web.metrics import MetricsEndpoint
from idp.web.request_context import RequestContextMiddleware
from idp.web.routing import not_found, route
from idp.web.security_headers import SecurityHeadersMiddleware
from idp.wiring import AccountsWiring, OAuthWiring, PasskeysWiring

MAILS_AT_ONCE = 20
LOGOUT_TOKENS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Provider:
    """One node: its ASGI application, and the parts that commands and tests reach for."""

    asgi: ASGIApp
    settings: Settings
    database: Database
    keyring: Keyring
    status_lists: StatusLists
    lifecycle: Lifecycle


def build_provider(settings: Settings, *, clock: Clock = system_clock) -> Provider:
    """Wire one node by hand. Nothing is opened before its lifespan starts. Raises MasterKeyError."""
    log.configure(log_format=settings.log_format, log_level=settings.log_level)
    parts = Parts(settings, master_key=load_master_key(settings.master_key_file), clock=clock)
    lifecycle = _lifecycle(parts)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        await lifecycle.start()
        try:
            yield
        finally:
            await lifecycle.stop()

    routes = _routes(parts, lifecycle)
    router = Router(routes=routes, redirect_slashes=False, default=not_found, lifespan=lifespan)
    return Provider(
        asgi=_behind_middleware(router, parts, known_paths=[route.path for route in routes]),
        settings=settings,
        database=parts.database,
        keyring=parts.keyring,
        status_lists=parts.status_lists,
        lifecycle=lifecycle,
    )


def _routes(parts: Parts, lifecycle: Lifecycle) -> list[Route]:
    oauth, passkeys, accounts = OAuthWiring(parts), PasskeysWiring(parts), AccountsWiring(parts)
    metadata = MetadataEndpoint(settings=parts.settings, acr_values=ACR_VALUES)
    readiness = {"database": lifecycle.database_is_well, "keys": lifecycle.keys_are_fresh}
    return [
        # Machines, the busiest first.
        route("/token", oauth.token),
        route("/userinfo", oauth.userinfo),
        route("/par", oauth.pushed_authorization),
        route("/introspect", oauth.introspection),
        route("/revoke", oauth.revocation),
        route("/status-lists", StatusListAggregationEndpoint(parts.status_lists)),
        route("/status-lists/{number}", StatusListEndpoint(lists=parts.status_lists, clock=parts.clock)),
        route("/jwks", JwksEndpoint(keyring=parts.keyring, settings=parts.settings, clock=parts.clock)),
        route("/.well-known/openid-configuration", metadata),
        route("/.well-known/oauth-authorization-server", metadata),
        route("/healthz", LivenessEndpoint()),
        route("/metrics", MetricsEndpoint(has_own_port=parts.settings.management_port is not None)),
        route("/readyz", ReadinessEndpoint(readiness)),
        # People whom an app sent here.
        route("/authorize", oauth.authorization),
        route("/consent", oauth.consent),
        route("/logout", oauth.logout),
        route("/logout/confirm", LogoutConfirmEndpoint(oauth.logout)),
        route("/signed-out", oauth.signed_out),
        # Passkeys.
        route("/login", passkeys.login),
        route("/login/methods", passkeys.methods),
        route("/passkeys/authentication/options", passkeys.authentication_options),
        route("/passkeys/authentication", passkeys.authentication),
        route("/passkeys/enrolment/options", passkeys.enrolment_options),
        route("/passkeys/enrolment", passkeys.enrolment),
        route("/passkeys/addition/options", passkeys.addition_options),
        route("/passkeys/addition", passkeys.addition),
        route("/passkeys/offer", passkeys.offer),
        route("/passkeys/accepted", passkeys.accepted),
        route("/confirm", passkeys.confirm),
        route("/passkeys/confirmation/options", passkeys.confirmation_options),
        route("/passkeys/confirmation", passkeys.confirmation),
        route(
            "/.well-known/webauthn",
            RelatedOrigins(relying_party=relying_party.of_settings(parts.settings)),
        ),
        route("/.well-known/passkey-endpoints", PasskeyEndpoints(issuer=parts.settings.issuer)),
        route("/.well-known/change-password", ChangePassword()),
        # Accounts.
        route("/signup", accounts.sign_up),
        route("/enrol", accounts.enrolment_link),
        route("/verify-email", accounts.verify_email),
        route("/notice", accounts.notice),
        route("/recover", RecoverEndpoint(browsers=parts.browsers, pages=parts.pages)),
        route("/account", accounts.account_page),
        route("/account/email/verify", accounts.resend_verification),
        route("/account/sessions/end", accounts.end_session),
        route("/account/sessions/end-all", accounts.end_all_sessions),
        route("/account/sign-out", accounts.sign_out),
        route("/account/email/add", accounts.add_email),
        route("/account/email/make-primary", accounts.make_primary_email),
        route("/account/email/remove", accounts.remove_email),
        route("/account/export", accounts.export_account),
        route("/account/delete", accounts.delete_account),
        route("/account/delete/cancel", accounts.cancel_deletion),
        route("/account/passkeys/add", accounts.add_passkey),
        route("/account/passkeys/rename", accounts.rename_passkey),
        route("/account/passkeys/remove", accounts.remove_passkey),
        route("/account/connections/withdraw", accounts.withdraw_connection),
        route("/static/{name:path}", parts.static_files),
    ]


def _behind_middleware(router: ASGIApp, parts: Parts, *, known_paths: list[str]) -> ASGIApp:
    """The outermost comes last: context, then headers, then errors, then the endpoints."""
    app: ASGIApp = ErrorResponses(
        router, pages=parts.pages, client_response=parts.client_response, issuer=parts.settings.issuer
    )
    app = CrossOriginMiddleware(app)
    app = SecurityHeadersMiddleware(app, is_https=parts.settings.is_https)
    trusted = client_address.parse_networks(parts.settings.trusted_proxies)
    return RequestContextMiddleware(app, trusted=trusted, known_paths=known_paths)


def _lifecycle(parts: Parts) -> Lifecycle:
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

    mail = MailSender(transport=transport, sealer=parts.sealer, renderer=renderer)
    logout_tokens = LogoutTokenSender(
        outbound=parts.outbound, registry=parts.registry, keyring=parts.keyring, issuer=settings.issuer
    )

    async def send_mail(now: datetime) -> None:
        await deliver_due(parts.database, sender=mail, now=now, limit=MAILS_AT_ONCE)

    async def send_logout_tokens(now: datetime) -> None:
        await deliver_due(parts.database, sender=logout_tokens, now=now, limit=LOGOUT_TOKENS_AT_ONCE)

    async def delete_accounts(now: datetime) -> None:
        await delete_due(parts.database, sealer=parts.sealer, now=now)

    jobs = (
        Job("reload_keys", timedelta(seconds=1), lambda now: parts.keyring.reload(now=now)),
        Job(
            "refresh_status_lists",
            parts.status_lists.ttl / 2,
            lambda now: parts.status_lists.refresh(now=now),
        ),
        Job("send_mail", timedelta(seconds=1), send_mail),
        Job("send_logout_tokens", timedelta(seconds=1), send_logout_tokens),
        Job("delete_accounts", timedelta(minutes=1), delete_accounts),
        Job("prune", timedelta(minutes=10), lambda now: prune(parts.database, now=now)),
    )
    return Lifecycle(
        settings=settings,
        database=parts.database,
        outbound=parts.outbound,
        master_key=parts.master_key,
        keyring=parts.keyring,
        jobs=jobs,
        clock=parts.clock,
    )
