from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp import opaque_token
from idp.clients.origins import ClientOrigins
from idp.clock import Clock
from idp.errors import AuthorizationError, InvalidDpopProof, InvalidRequest, InvalidRequestUri
from idp.oauth.authorization import request as authorization_request
from idp.oauth.authorization.receiving import RequestReceiver
from idp.oauth.proof_checker import ProofChecker
from idp.oauth.token.authenticator import ClientAuthenticator
from idp.storage import pushed_requests
from idp.storage.database import Database
from idp.storage.pushed_requests import PushedRequest
from idp.web.parameters import Parameters, form_parameters
from idp.web.rate_limit import RateLimiter

PATH = "/par"
LIFETIME = timedelta(seconds=90)  # RFC 9126 §2.2: between 5 and 600 seconds.
PREFIX = "urn:ietf:params:oauth:request_uri:"
# How the client proved itself is no part of what it asks.
_CREDENTIALS = frozenset({"client_secret", "client_assertion", "client_assertion_type"})


class PushedAuthorizationEndpoint:
    """`POST /par` (RFC 9126): takes a request from the client itself, checked before anyone is bothered."""

    def __init__(
        self,
        *,
        database: Database,
        authenticator: ClientAuthenticator,
        receiver: RequestReceiver,
        proofs: ProofChecker,
        origins: ClientOrigins,
        rate_limiter: RateLimiter,
        clock: Clock,
    ) -> None:
        self._database = database
        self._authenticator = authenticator
        self._receiver = receiver
        self._proofs = proofs
        self._origins = origins
        self._rate_limiter = rate_limiter
        self._clock = clock

    async def options(self, request: Request) -> Response:
        return await self._origins.preflight(request, methods="POST", now=self._clock())

    async def post(self, request: Request) -> Response:
        await self._rate_limiter.count_caller("token")
        if request.scope["query_string"]:
            raise InvalidRequest("parameters belong in the body, not in the address")
        parameters = await form_parameters(request)
        now = self._clock()
        client = await self._authenticator.authenticate(request, parameters, now=now)
        self._origins.allow(request, client.metadata.redirect_uris)
        # RFC 9126 §2.1: a reference cannot be pushed.
        if "request_uri" in parameters.names():
            raise InvalidRequest("request_uri must not be pushed")
        asked = await self._with_proved_key(request, parameters, client_id=client.id, now=now)
        try:
            await self._receiver.receive(asked, interaction=None, is_pushed=True, now=now)
        except AuthorizationError as error:
            raise error.error from error
        reference = opaque_token.new_token()
        await self._database.transact(
            pushed_requests.insert,
            PushedRequest(
                reference_sha256=opaque_token.sha256(reference),
                client_id=client.id,
                parameters=authorization_request.to_parameters(asked, asked.names()),
                created_at=now,
                expires_at=now + LIFETIME,
            ),
        )
        answer = {"request_uri": PREFIX + reference, "expires_in": int(LIFETIME.total_seconds())}
        response = JSONResponse(answer, status_code=201, headers={"Cache-Control": "no-store"})
        self._proofs.offer_nonce(request, response, now=now)
        return response

    async def _with_proved_key(
        self, request: Request, parameters: Parameters, *, client_id: str, now: datetime
    ) -> Parameters:
        """Leave the credentials out, and put the key of a proof in (RFC 9449 §10.1)."""
        proof = await self._proofs.check(request, path=PATH, access_token=None, now=now)
        pairs = [pair for pair in parameters.pairs() if pair[0] not in _CREDENTIALS]
        named = {name for name, _ in pairs}
        if "client_id" not in named:
            pairs.append(("client_id", client_id))
        if proof is not None:
            if parameters.get("dpop_jkt") not in {None, proof.thumbprint}:
                raise InvalidDpopProof("dpop_jkt is not the thumbprint of the proof's key")
            if "dpop_jkt" not in named:
                pairs.append(("dpop_jkt", proof.thumbprint))
        return Parameters(pairs)


async def use_reference(database: Database, parameters: Parameters, *, now: datetime) -> Parameters:
    """Answer the request behind a `request_uri`, used up from now on; raises InvalidRequestUri.

    RFC 9126 §4, RFC 9101 §5: beside it only `client_id` counts, and must be the one that pushed.
    """
    request_uri = parameters.require("request_uri")
    used = await database.single(
        pushed_requests.use,
        reference_sha256=opaque_token.sha256(request_uri.removeprefix(PREFIX)),
        presenting_client=parameters.require("client_id"),
        now=now,
    )
    if used is None:
        raise InvalidRequestUri("the request_uri is unknown, expired or already used; push the request again")
    return Parameters(authorization_request.from_parameters(used.parameters))
