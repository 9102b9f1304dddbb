import secrets
import warnings
from urllib.parse import urlencode

import httpx
from authlib.deprecate import AuthlibDeprecationWarning  # type: ignore[import-untyped]  # has no types
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.interop.conftest import Register
from tests.support.person_at_browser import PersonAtBrowser
from tests.support.server_process import DevServer

with warnings.catch_warnings():
    # Authlib prefers a young successor of httpx; the one that the rest of the house uses still works.
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import (  # type: ignore[import-untyped]  # has no types
        AsyncOAuth2Client,
    )
    from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]  # has no types

CALLBACK = "https://app.example/callback"
SIGNED_OUT = "https://app.example/signed-out"


async def test_authlib_signs_in_refreshes_asks_and_signs_out(
    dev: DevServer, person: PersonAtBrowser, register: Register
) -> None:
    app = register(
        client_name="Authlib app", redirect_uris=[CALLBACK], post_logout_redirect_uris=[SIGNED_OUT]
    )
    async with httpx.AsyncClient() as http:
        metadata = (await http.get(f"{dev.issuer}/.well-known/openid-configuration")).json()
        keys = KeySet.import_key_set((await http.get(metadata["jwks_uri"])).json())
    verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    async with AsyncOAuth2Client(
        app["client_id"],
        app["client_secret"],
        scope="openid profile email offline_access",
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
        token_endpoint=metadata["token_endpoint"],
    ) as client:
        address, state = client.create_authorization_url(
            metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
        )
        outcome = await person.visit(address, redirect_uri=CALLBACK)
        assert outcome.answer["iss"] == dev.issuer
        tokens = await client.fetch_token(
            authorization_response=f"{CALLBACK}?{urlencode(outcome.answer)}",
            code_verifier=verifier,
            state=state,
        )
        token = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"])
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={"iss": {"values": [dev.issuer]}, "aud": {"values": [app["client_id"]]}},
            params={"nonce": nonce, "client_id": app["client_id"], "access_token": tokens["access_token"]},
        )
        claims.validate(leeway=10)

        userinfo = (await client.get(metadata["userinfo_endpoint"])).json()
        assert userinfo["sub"] == claims["sub"]
        assert (userinfo["name"], userinfo["email"]) == ("Ada Lovelace", "ada@example.com")

        refreshed = await client.refresh_token(refresh_token=tokens["refresh_token"])
        assert refreshed["refresh_token"] != tokens["refresh_token"]
        assert (await client.get(metadata["userinfo_endpoint"])).json()["sub"] == claims["sub"]

        query = {
            "id_token_hint": refreshed["id_token"],
            "post_logout_redirect_uri": SIGNED_OUT,
            "state": "signed-out",
        }
        outcome = await person.visit(
            f"{metadata['end_session_endpoint']}?{urlencode(query)}", redirect_uri=SIGNED_OUT
        )
        assert outcome.answer == {"state": "signed-out"}
        outcome = await person.visit(f"{address}&prompt=none", redirect_uri=CALLBACK)
        assert outcome.answer["error"] == "login_required"
