from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from idp.errors import InvalidDpopProof
from idp.oauth.proof import Proof, ProofNonces, read_proof
from idp.settings import Settings
from idp.storage import replayed_ids
from idp.storage.database import Database


class ProofChecker:
    """Checks the DPoP proof of a request, with one memory of used proofs for all nodes."""

    def __init__(self, *, database: Database, nonces: ProofNonces, settings: Settings) -> None:
        self._database = database
        self._nonces = nonces
        self._issuer = settings.issuer
        self._nonce_is_required = settings.tokens.dpop_nonce_required

    async def check(
        self, request: Request, *, path: str, access_token: str | None, now: datetime
    ) -> Proof | None:
        """Answer the request's proof, used up from now on; None without one. `path` is the endpoint's own.

        Raises InvalidDpopProof or UseDpopNonce.
        """
        proof = read_proof(
            request.headers.getlist("dpop"),
            method=request.method,
            uri=self._issuer + path,
            access_token=access_token,
            nonces=self._nonces,
            nonce_is_required=self._nonce_is_required,
            now=now,
        )
        # RFC 9449 §11.1: once, on whichever node.
        if proof is not None and not await self._database.single(
            replayed_ids.remember,
            kind="dpop_proof",
            id_sha256=proof.jti_sha256,
            expires_at=proof.remember_until,
        ):
            raise InvalidDpopProof("the proof was used before; make one for each request")
        return proof

    def offer_nonce(self, request: Request, response: Response, *, now: datetime) -> None:
        """Hand a client that uses proofs the nonce for its next one (RFC 9449 §8.2)."""
        if "dpop" in request.headers:
            response.headers["DPoP-Nonce"] = self._nonces.make(now=now)
