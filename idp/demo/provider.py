"""The demo's view of the provider: Authlib's Starlette client, and plain sentences for what goes wrong."""

import time
import warnings
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from authlib.deprecate import AuthlibDeprecationWarning  # type: ignore[import-untyped]  # has no types
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import Response

from idp.demo.browser_sessions import BrowserSession, SignedIn

with warnings.catch_warnings():
    # Authlib prefers a young successor of httpx; the one that the rest of the house uses still works.
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.starlette_client import (  # type: ignore[import-untyped]  # has no types
        OAuth,
        OAuthError,
    )

SCOPE = "openid profile email offline_access"
# The provider may have moved its endpoints when it was restarted: read them again after this long.
METADATA_MAX_AGE_SECONDS = 300
TIMEOUT_SECONDS = 10
LEEWAY_SECONDS = 10

_TROUBLE = (httpx.HTTPError, JoseError, OAuthError, ValueError, KeyError)


class ProviderError(Exception):
    """The provider could not do it; the message is a sentence for the person who waits."""


class SignInEndedError(ProviderError):
    """The refresh token is no longer good: the person must sign in again."""


class UnknownStateError(ProviderError):
    """The answer belongs to no sign-in that this browser began, or to one that is finished."""


class Provider:
    """Signs people in at the provider and keeps their tokens fresh."""

    def __init__(self, *, issuer: str, client_id: str, client_secret: str) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._registered: Any = None  # Any: Authlib carries no types.
        self._registered_at = 0.0

    async def sign_in_redirect(
        self, request: Request, session: BrowserSession, *, redirect_uri: str
    ) -> Response:
        """Send the browser to the provider; state, nonce and code_verifier wait in the session."""
        client = await self._client()
        kept: dict[str, Any] = {}  # Any: Authlib's own values.
        request.scope["session"] = kept
        response: Response = await client.authorize_redirect(request, redirect_uri)
        state = parse_qs(urlsplit(response.headers["location"]).query)["state"][0]
        session.begin_authorization(state, kept)
        return response

    async def finish_sign_in(self, request: Request, session: BrowserSession) -> SignedIn:
        """Check the provider's answer and redeem its code. Raises ProviderError."""
        client = await self._client()
        # RFC 6749 §10.12: before anything in the answer is believed, an error included.
        kept = session.take_authorization(request.query_params.get("state", ""))
        if kept is None:
            raise UnknownStateError("This sign-in was finished before, or began in another browser.")
        request.scope["session"] = kept
        # RFC 9207 §2.4: the answer must come from the provider that was asked.
        if request.query_params.get("iss") != self._issuer:
            raise ProviderError("The answer did not come from the provider that was asked.")
        if "error" in request.query_params:
            raise ProviderError(_sentence(request.query_params["error"]))
        try:
            token = await client.authorize_access_token(
                request, claims_options=self._claims_options(), leeway=LEEWAY_SECONDS
            )
            return SignedIn(
                id_token_claims=dict(token["userinfo"]),
                person=await self._person(client, token, expected_sub=token["userinfo"]["sub"]),
                id_token=token["id_token"],
                access_token=token["access_token"],
                refresh_token=token.get("refresh_token"),
            )
        except _TROUBLE as fault:
            raise ProviderError("The provider's answer could not be verified.") from fault

    async def refresh(self, signed_in: SignedIn) -> SignedIn:
        """Get fresh tokens for the same person. Raises ProviderError."""
        if signed_in.refresh_token is None:
            raise SignInEndedError("The provider gave no refresh token.")
        client = await self._client()
        try:
            token = await client.fetch_access_token(
                grant_type="refresh_token", refresh_token=signed_in.refresh_token
            )
            claims = signed_in.id_token_claims
            if "id_token" in token:
                claims = await self._refreshed_claims(client, token, before=claims)
        except OAuthError as fault:
            if fault.error == "invalid_grant":
                raise SignInEndedError("Your sign-in has ended at the provider. Sign in again.") from fault
            raise ProviderError(f"The provider refused: {fault.description or fault.error}") from fault
        except _TROUBLE as fault:
            raise ProviderError("The provider can't be reached. Try again in a moment.") from fault
        return SignedIn(
            id_token_claims=claims,
            person=signed_in.person,
            id_token=token.get("id_token", signed_in.id_token),
            access_token=token["access_token"],
            # RFC 6749 §6: a new refresh token replaces the old one; without one the old one stays.
            refresh_token=token.get("refresh_token", signed_in.refresh_token),
        )

    async def sign_out_address(self, signed_in: SignedIn, *, post_logout_redirect_uri: str) -> str:
        """Answer where the browser must go to be signed out at the provider too. Raises ProviderError."""
        client = await self._client()
        # The state that comes back guards nothing here: the page behind it does nothing.
        result = await client.create_logout_url(
            id_token_hint=signed_in.id_token, post_logout_redirect_uri=post_logout_redirect_uri
        )
        return str(result["url"])

    async def _client(self) -> Any:
        """Answer Authlib's client with metadata that is not too old. Raises ProviderError."""
        now = time.monotonic()
        if self._registered is not None and now - self._registered_at < METADATA_MAX_AGE_SECONDS:
            return self._registered
        client = OAuth().register(
            "provider",
            client_id=self._client_id,
            client_secret=self._client_secret,
            server_metadata_url=f"{self._issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": SCOPE,
                "code_challenge_method": "S256",
                "timeout": TIMEOUT_SECONDS,
                # A proxy for the internet would not find what runs on this machine.
                "trust_env": False,
            },
        )
        try:
            metadata = await client.load_server_metadata()
        except _TROUBLE as fault:
            raise ProviderError("The provider can't be reached. Try again in a moment.") from fault
        # OIDC Discovery §4.3: the document must be about the issuer that was asked for.
        if metadata.get("issuer") != self._issuer:
            raise ProviderError("The provider calls itself by another name than the one configured here.")
        self._registered, self._registered_at = client, now
        return client

    async def _person(self, client: Any, token: dict[str, Any], *, expected_sub: str) -> dict[str, Any]:
        person = dict(await client.userinfo(token=token))
        # OIDC Core §5.3.2: claims about somebody else must not be used.
        if person.get("sub") != expected_sub:
            raise ValueError("userinfo is about another person")
        return person

    async def _refreshed_claims(
        self, client: Any, token: dict[str, Any], *, before: dict[str, Any]
    ) -> dict[str, Any]:
        # OIDC Core §12.2: the same person; the nonce belonged to the first ID Token.
        options = self._claims_options() | {"sub": {"essential": True, "value": before["sub"]}}
        claims = await client.parse_id_token(token, nonce=None, claims_options=options, leeway=LEEWAY_SECONDS)
        return dict(claims)

    def _claims_options(self) -> dict[str, Any]:
        # OIDC Core §3.1.3.7: the issuer that was asked, and this client as the audience.
        return {
            "iss": {"essential": True, "value": self._issuer},
            "aud": {"essential": True, "value": self._client_id},
        }


def _sentence(error: str) -> str:
    if error == "access_denied":
        return "You didn't allow it, so nothing was shared and nobody is signed in."
    if error == "temporarily_unavailable":
        return "The provider is busy. Try again in a moment."
    return f"The provider did not sign you in ({error})."
