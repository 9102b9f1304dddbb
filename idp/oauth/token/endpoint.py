from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.clients.client import Client
from idp.clients.origins import ClientOrigins
from idp.clock import Clock
from idp.errors import (
    InvalidDpopProof,
    InvalidGrant,
    InvalidRequest,
    InvalidTarget,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from idp.notifications.outbox import Sealer
from idp.oauth.authorization.client_rules import rules_of
from idp.oauth.authorization.request import check_resources
from idp.oauth.grant import Presenter, settle_code, settle_refresh
from idp.oauth.grant_token import PresentedToken
from idp.oauth.proof_checker import ProofChecker
from idp.oauth.token import authorization_code_grant, refresh_token_grant
from idp.oauth.token.authenticator import ClientAuthenticator
from idp.oauth.token.client_credentials_grant import read_client_credentials
from idp.oauth.token.response import Answer, Asked, TokenResponses
from idp.oauth.tokens import claims, scope
from idp.settings import Settings
from idp.storage import grants
from idp.storage.database import Database
from idp.storage.grants import Grant
from idp.web.parameters import Parameters, form_parameters
from idp.web.rate_limit import RateLimiter

PATH = "/token"
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")


class TokenEndpoint:
    """`POST /token`: exchanges codes, refresh tokens and a service's own credentials for tokens."""

    def __init__(
        self,
        *,
        database: Database,
        authenticator: ClientAuthenticator,
        proofs: ProofChecker,
        responses: TokenResponses,
        origins: ClientOrigins,
        sealer: Sealer,
        rate_limiter: RateLimiter,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._authenticator = authenticator
        self._proofs = proofs
        self._responses = responses
        self._origins = origins
        self._sealer = sealer
        self._rate_limiter = rate_limiter
        self._settings = settings
        self._clock = clock

    async def options(self, request: Request) -> Response:
        return await self._origins.preflight(request, methods="POST", now=self._clock())

    async def post(self, request: Request) -> Response:
        await self._rate_limiter.count_caller("token")
        # OAuth 2.1 §2.4.1: secrets and codes in an address end in logs.
        if request.scope["query_string"]:
            raise InvalidRequest("parameters belong in the body, not in the address")
        parameters = await form_parameters(request)
        if parameters.repeated(except_for="resource") is not None:
            raise InvalidRequest("a parameter is repeated")
        now = self._clock()
        # No key to sign with would waste a rotation.
        self._responses.keyring.signing_key(now=now)
        client = await self._authenticator.authenticate(request, parameters, now=now)
        self._origins.allow(request, client.metadata.redirect_uris)
        grant_type = parameters.require("grant_type")
        if grant_type not in GRANT_TYPES:
            raise UnsupportedGrantType(f"grant_type must be one of {', '.join(GRANT_TYPES)}")
        if grant_type not in client.metadata.grant_types:
            raise UnauthorizedClient(f"the client is not registered for the {grant_type} grant")
        thumbprint = await self._proved_key(request, client, now=now)
        if grant_type == "authorization_code":
            answer = await self._redeem(client, parameters, thumbprint=thumbprint, now=now)
        elif grant_type == "refresh_token":
            answer = await self._refresh(client, parameters, thumbprint=thumbprint, now=now)
        else:
            rules = rules_of(client, issuer=self._settings.issuer)
            asked = read_client_credentials(parameters, client, rules, thumbprint=thumbprint)
            answer = self._responses.of_client(client, asked, now=now)
        response = JSONResponse(answer, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})
        self._proofs.offer_nonce(request, response, now=now)
        return response

    async def _proved_key(self, request: Request, client: Client, *, now: datetime) -> str | None:
        """Answer the thumbprint of the key that the request proves to hold."""
        proof = await self._proofs.check(request, path=PATH, access_token=None, now=now)
        # RFC 9449 §5.2: the client registered that it never asks for a bearer token.
        if proof is None and client.metadata.dpop_bound_access_tokens:
            raise InvalidDpopProof("the client is registered for DPoP; send a proof")
        return proof.thumbprint if proof else None

    async def _redeem(
        self, client: Client, parameters: Parameters, *, thumbprint: str | None, now: datetime
    ) -> Answer:
        code = authorization_code_grant.read_code(parameters, keys=self._responses.keys)
        presenter = Presenter(client_id=client.id, is_public=client.is_public, thumbprint=thumbprint)
        asked = await self._check_asked(client, parameters, code.token, presenter, with_scope=False)
        rules = self._settings.tokens
        grant = await self._database.write_prepared(
            authorization_code_grant.redeem, code, presenter, rules=rules, now=now
        )
        if grant is None:
            settlement = await self._database.transact(settle_code, code, presenter, rules=rules, now=now)
            if settlement.grant is None:
                raise InvalidGrant(authorization_code_grant.REFUSAL, detail=settlement.case.name)
            grant = settlement.grant
        return self._responses.of_grant(
            client,
            grant,
            asked,
            secret=code.token.secret,
            nonce=grant.nonce,
            person=await self._person(grant),
            now=now,
        )

    async def _refresh(
        self, client: Client, parameters: Parameters, *, thumbprint: str | None, now: datetime
    ) -> Answer:
        token = refresh_token_grant.read_refresh_token(parameters, keys=self._responses.keys)
        presenter = Presenter(client_id=client.id, is_public=client.is_public, thumbprint=thumbprint)
        asked = await self._check_asked(client, parameters, token, presenter, with_scope=True)
        rules = self._settings.tokens
        grant = await self._database.write_prepared(
            refresh_token_grant.rotate, token, presenter, rules=rules, now=now
        )
        if grant is None:
            settlement = await self._database.transact(
                settle_refresh, token, presenter, rules=rules, sealer=self._sealer, now=now
            )
            if settlement.grant is None:
                raise InvalidGrant(refresh_token_grant.REFUSAL, detail=settlement.case.name)
            grant = settlement.grant
        # OIDC Core §12.2: the nonce belongs to the first ID Token.
        return self._responses.of_grant(
            client,
            grant,
            asked,
            secret=token.secret,
            nonce=None,
            person=await self._person(grant),
            now=now,
        )

    async def _person(self, grant: Grant) -> dict[str, object]:
        """Answer the claims that the ID Token was asked to hold (OIDC Core §5.5); usually none, for free."""
        names = claims.requested(grant, place="id_token")
        if not names:
            return {}
        person = await self._database.read_prepared(
            claims.of_person, account_id=grant.account_id, names=names
        )
        return person or {}

    async def _check_asked(
        self,
        client: Client,
        parameters: Parameters,
        token: PresentedToken,
        presenter: Presenter,
        *,
        with_scope: bool,
    ) -> Asked:
        """Check what is asked of a grant before anything is written; the usual request asks for nothing.

        A grant that is not the presenter's is passed over here: redeeming or rotating it will refuse.
        """
        requested_scopes = scope.parse(parameters.get("scope")) if with_scope else ()
        requested_resources = parameters.get_all("resource")
        if requested_resources:
            check_resources(requested_resources, rules_of(client, issuer=self._settings.issuer))
        if requested_scopes or requested_resources:
            grant = await self._database.read(grants.find, grant_id=token.grant_id)
            if grant and grant.secret_sha256 == token.secret_sha256 and grant.client_id == client.id:
                scope.narrow(requested_scopes, granted=grant.scope.split())
                # RFC 8707 §2.2: a subset of what was granted, never another resource.
                if not set(requested_resources) <= set(grant.resources):
                    raise InvalidTarget("resource was not part of the authorization")
        return Asked(scopes=requested_scopes, resources=requested_resources, thumbprint=presenter.thumbprint)
