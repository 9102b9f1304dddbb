from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.clients.origins import ClientOrigins
from idp.clock import Clock
from idp.errors import BearerError, InsufficientScope, InvalidToken
from idp.oauth.inspection.access_token_gate import REFUSAL, AccessTokenGate
from idp.oauth.tokens import access_token, claims, scope
from idp.storage import accounts, email_addresses, grants
from idp.storage.accounts import Account
from idp.storage.database import Database, Transaction
from idp.storage.email_addresses import EmailAddress

PATH = "/userinfo"


class UserinfoEndpoint:
    """`/userinfo` (OIDC Core §5.3): claims about the person, for as long as the grant lives."""

    def __init__(
        self, *, database: Database, gate: AccessTokenGate, origins: ClientOrigins, clock: Clock
    ) -> None:
        self._database = database
        self._gate = gate
        self._origins = origins
        self._clock = clock

    async def options(self, request: Request) -> Response:
        return await self._origins.preflight(request, methods="GET, POST", now=self._clock())

    async def get(self, request: Request) -> Response:
        now = self._clock()
        verified = await self._gate.admit(request, path=PATH, now=now)
        scopes = str(verified["scope"]).split()
        grant_id = access_token.grant_id_of(verified["jti"])
        found = await self._database.read(_person_of, grant_id=grant_id, now=now)
        if found is None:
            raise BearerError(InvalidToken(REFUSAL, detail="grant is over"))
        # OIDC Core §5.3.1: only a token that was granted openid.
        if scope.OPENID not in scopes:
            raise BearerError(InsufficientScope("the access token lacks the scope openid"))
        account, primary_email = found
        return JSONResponse(
            claims.of_person(account, primary_email=primary_email, scopes=scopes),
            headers={"Cache-Control": "no-store"},
        )

    async def post(self, request: Request) -> Response:
        return await self.get(request)


async def _person_of(
    tx: Transaction, *, grant_id: bytes | None, now: datetime
) -> tuple[Account, EmailAddress | None] | None:
    grant = await grants.find_alive(tx, grant_id=grant_id, now=now) if grant_id else None
    account = await accounts.find(tx, account_id=grant.account_id) if grant else None
    if account is None:
        return None
    addresses = await email_addresses.of_account(tx, account_id=account.id)
    return account, addresses[0] if addresses else None
