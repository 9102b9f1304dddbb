"""Giving tokens back (RFC 7009)."""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from idp import audit, opaque_token
from idp.clients.client import Client
from idp.clients.origins import ClientOrigins
from idp.clock import Clock
from idp.keys.keyring import Keyring
from idp.keys.signing import VerifiedClaims
from idp.oauth import grant_token
from idp.oauth.grant_token import GrantTokenKeys
from idp.oauth.inspection.presented_token import read_access_token, read_form
from idp.oauth.token.authenticator import ClientAuthenticator
from idp.oauth.tokens import access_token
from idp.settings import Settings
from idp.storage import grants, replayed_ids
from idp.storage.database import Database, Transaction
from idp.web.rate_limit import RateLimiter


class RevocationEndpoint:
    """`POST /revoke`: ends the grant that a token belongs to, and with it every token of that grant.

    Any token of the grant does: the code, a refresh token of whatever generation, an access token.
    """

    def __init__(
        self,
        *,
        database: Database,
        authenticator: ClientAuthenticator,
        origins: ClientOrigins,
        keyring: Keyring,
        keys: GrantTokenKeys,
        rate_limiter: RateLimiter,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._authenticator = authenticator
        self._origins = origins
        self._keyring = keyring
        self._keys = keys
        self._rate_limiter = rate_limiter
        self._settings = settings
        self._clock = clock

    async def options(self, request: Request) -> Response:
        return await self._origins.preflight(request, methods="POST", now=self._clock())

    async def post(self, request: Request) -> Response:
        await self._rate_limiter.count_caller("token")
        parameters = await read_form(request)
        now = self._clock()
        client = await self._authenticator.authenticate(request, parameters, now=now)
        self._origins.allow(request, client.metadata.redirect_uris)
        await self._revoke(parameters.require("token"), client, now=now)
        # RFC 7009 §2.2: the same answer for a token that nobody knows, or that is another client's.
        return Response(status_code=200, headers={"Cache-Control": "no-store"})

    async def _revoke(self, token: str, client: Client, *, now: datetime) -> None:
        family = grant_token.open_token(self._keys, token)
        if family is not None:
            await self._database.transact(
                revoke_grant,
                grant_id=family.grant_id,
                secret_sha256=family.secret_sha256,
                client_id=client.id,
                now=now,
            )
            return
        claims = read_access_token(token, keyring=self._keyring, issuer=self._settings.issuer, now=now)
        if claims is None or claims["client_id"] != client.id:
            return
        grant_id = access_token.grant_id_of(claims["jti"])
        if grant_id is None:
            await self._database.transact(revoke_access_token, claims, now=now)
            return
        await self._database.transact(
            revoke_grant, grant_id=grant_id, secret_sha256=None, client_id=client.id, now=now
        )


async def revoke_grant(
    tx: Transaction, *, grant_id: bytes, secret_sha256: bytes | None, client_id: str, now: datetime
) -> bool:
    """End the client's own grant; False, and nothing changed, when it is not its own or already over.

    `secret_sha256` is the family's, when a token of the family was presented.
    """
    grant = await grants.find(tx, grant_id=grant_id)
    if grant is None or grant.client_id != client_id:
        return False
    if secret_sha256 is not None and grant.secret_sha256 != secret_sha256:
        return False
    if not await grants.revoke(tx, grant_id=grant_id, reason="client revoked it", now=now):
        return False
    await audit.record(
        tx, "token_revoked", now=now, reason="client", account_id=grant.account_id, client_id=client_id
    )
    return True


async def revoke_access_token(tx: Transaction, claims: VerifiedClaims, *, now: datetime) -> bool:
    """End an access token that no grant stands behind, by remembering it until it expires."""
    is_first = await replayed_ids.remember(
        tx,
        kind="revoked_access_token",
        id_sha256=opaque_token.sha256(claims["jti"]),
        expires_at=datetime.fromtimestamp(claims["exp"], tz=UTC),
    )
    if is_first:
        await audit.record(tx, "token_revoked", now=now, reason="client", client_id=claims["client_id"])
    return is_first
