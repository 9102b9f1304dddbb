from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.clients.origins import ClientOrigins
from idp.clients.registry import ClientRegistry
from idp.clock import Clock
from idp.errors import BearerError, InsufficientScope, InvalidToken
from idp.keys import signing
from idp.keys.compact_jws import TokenError
from idp.keys.keyring import Keyring
from idp.oauth.inspection.bearer import read_bearer_token
from idp.oauth.tokens import access_token, claims, scope
from idp.settings import Settings
from idp.storage import accounts, email_addresses, grants
from idp.storage.accounts import Account
from idp.storage.database import Database, Transaction
from idp.storage.email_addresses import EmailAddress
from idp.storage.grants import Grant

_REFUSAL = "the access token is invalid, expired or revoked"


class UserinfoEndpoint:
    """`/userinfo` (OIDC Core §5.3): claims about the person, for as long as the grant lives."""

    def __init__(
        self,
        *,
        database: Database,
        registry: ClientRegistry,
        origins: ClientOrigins,
        keyring: Keyring,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._registry = registry
        self._origins = origins
        self._keyring = keyring
        self._settings = settings
        self._clock = clock

    async def options(self, request: Request) -> Response:
        return await self._origins.preflight(request, methods="GET, POST", now=self._clock())

    async def get(self, request: Request) -> Response:
        now = self._clock()
        token = await read_bearer_token(request)
        verified = self._verify(token, now=now)
        scopes = str(verified["scope"]).split()
        grant_id = access_token.grant_id_of(verified["jti"])
        found = await self._database.read(_person_of, grant_id=grant_id, now=now)
        if found is None:
            raise BearerError(InvalidToken(_REFUSAL, detail="grant is over"))
        # OIDC Core §5.3.1: only a token that was granted openid.
        if scope.OPENID not in scopes:
            raise BearerError(InsufficientScope("the access token lacks the scope openid"))
        grant, account, primary_email = found
        response = JSONResponse(
            claims.of_person(account, primary_email=primary_email, scopes=scopes),
            headers={"Cache-Control": "no-store"},
        )
        client = await self._registry.find(grant.client_id, now=now)
        if client is not None:
            self._origins.allow(request, response, client.metadata.redirect_uris)
        return response

    async def post(self, request: Request) -> Response:
        return await self.get(request)

    def _verify(self, token: str, *, now: datetime) -> signing.VerifiedClaims:
        try:
            return signing.verify(
                token,
                keyring=self._keyring,
                expected_typ=signing.ACCESS_TOKEN_TYP,
                issuer=self._settings.issuer,
                audience=None,
                now=now,
                leeway=timedelta(0),
            )
        except TokenError as error:
            raise BearerError(InvalidToken(_REFUSAL, detail=str(error))) from error


async def _person_of(
    tx: Transaction, *, grant_id: bytes | None, now: datetime
) -> tuple[Grant, Account, EmailAddress | None] | None:
    grant = await grants.find_alive(tx, grant_id=grant_id, now=now) if grant_id else None
    account = await accounts.find(tx, account_id=grant.account_id) if grant else None
    if grant is None or account is None:
        return None
    addresses = await email_addresses.of_account(tx, account_id=account.id)
    return grant, account, addresses[0] if addresses else None
