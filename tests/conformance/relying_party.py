"""The suite's relying party, and the one function that holds what every oidcc module checks on its way."""

import base64
import hashlib
import json
import math
import re
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet

from idp.clock import Clock
from tests.support.person_at_browser import Outcome, PersonAtBrowser

Json = dict[str, Any]  # Any: what an answer holds is what the checks are about.

YEAR_SECONDS = 365 * 86_400
SANE_SECONDS = 300
# What the suite expects of an ID Token; anything else is a warning.
ID_TOKEN_CLAIMS = {
    "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "nbf",
    "jti", "sid",
}  # fmt: skip
STANDARD_CLAIMS: dict[str, type] = {
    **dict.fromkeys(
        (
            "sub", "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username",
            "profile", "picture", "website", "email", "gender", "birthdate", "zoneinfo", "locale",
            "phone_number",
        ),
        str,
    ),
    "email_verified": bool,
    "phone_number_verified": bool,
    "address": dict,
    "updated_at": int,
}  # fmt: skip
_TOKEN_ERROR = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")


@dataclass
class Flow:
    """What came of one whole run."""

    outcome: Outcome
    code: str
    tokens: Json
    id_token: Json
    id_token_header: Json
    userinfo: Json = field(default_factory=dict)

    @property
    def raw_id_token(self) -> str:
        raw: str = self.tokens["id_token"]
        return raw


@dataclass
class RelyingParty:
    """One registered client of the suite, with the person who uses it."""

    http: httpx.AsyncClient
    person: PersonAtBrowser
    clock: Clock
    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str
    response_mode: str | None
    """None: the parameter is not sent."""
    auth_method: str = "client_secret_basic"
    discovery: Json = field(default_factory=dict)
    verifier: str = ""

    async def discover(self) -> Json:
        """Read the metadata and the keys, and check both."""
        response = await self.http.get(f"{self.issuer}/.well-known/openid-configuration")
        assert response.status_code == 200
        self.discovery = response.json()
        for name in ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"):
            assert isinstance(self.discovery.get(name), str), name
        await self._check_keys()
        return self.discovery

    async def _check_keys(self) -> None:
        keys = (await self.http.get(self.discovery["jwks_uri"])).json()["keys"]
        assert keys
        kids = [key["kid"] for key in keys]
        assert len(set(kids)) == len(kids)
        for key in keys:
            assert key["kty"] in {"RSA", "EC", "OKP"}, "a symmetric key is public"
            assert not set(key) & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}, "a private key is public"

    def request(self, **changes: str | None) -> dict[str, str]:
        """Spell an authorization request with PKCE added; None leaves a parameter out."""
        self.verifier = secrets.token_urlsafe(48)
        challenge = hashlib.sha256(self.verifier.encode()).digest()
        parameters: dict[str, str | None] = {
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": "openid",
            "response_type": "code",
            "state": secrets.token_urlsafe(10),
            "nonce": secrets.token_urlsafe(10),
            "response_mode": self.response_mode,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (parameters | changes).items() if value is not None}

    async def authorize(self, parameters: dict[str, str], *, by_post: bool = False) -> Outcome:
        """Send the person with a request, and check what came back to the client, if anything did."""
        endpoint = self.discovery["authorization_endpoint"]
        if by_post:
            outcome = await self.person.visit(endpoint, redirect_uri=self.redirect_uri, form=parameters)
        else:
            address = f"{endpoint}?{urlencode(parameters)}"
            outcome = await self.person.visit(address, redirect_uri=self.redirect_uri)
        if outcome.callback is not None:
            self._check_callback(outcome, parameters)
        return outcome

    def _check_callback(self, outcome: Outcome, parameters: dict[str, str]) -> None:
        expected = "form_post" if parameters.get("response_mode") == "form_post" else "query"
        assert outcome.came_by == expected
        assert outcome.answer.get("state") == parameters.get("state")
        assert outcome.answer.get("iss", self.issuer) == self.issuer
        registered = parse_qsl(urlsplit(self.redirect_uri).query)
        assert [pair for pair in outcome.callback or [] if pair in registered] == registered
        only = {"state", "iss", *dict(registered)}
        if "error" in outcome.answer:
            assert set(outcome.answer) <= only | {"error", "error_description", "error_uri"}
            assert _TOKEN_ERROR.fullmatch(outcome.answer["error"])
            assert _TOKEN_ERROR.fullmatch(outcome.answer.get("error_description", "-"))
        else:
            assert set(outcome.answer) <= only | {"code"}

    async def refused(self, **changes: str | None) -> str:
        """Send the person with a request that comes back with an error and no code; answer the error."""
        outcome = await self.authorize(self.request(**changes))
        assert "code" not in outcome.answer
        return outcome.answer["error"]

    async def redeem(self, code: str, **changes: str) -> httpx.Response:
        """Ask for the tokens of a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        return await self.ask_token_endpoint(form | changes)

    async def ask_token_endpoint(self, form: dict[str, str]) -> httpx.Response:
        """Post to the token endpoint, authenticated as registered."""
        if self.auth_method == "client_secret_post":
            form |= {"client_id": self.client_id, "client_secret": self.client_secret}
            return await self.http.post(self.discovery["token_endpoint"], data=form)
        credentials = (self.client_id, self.client_secret)
        return await self.http.post(self.discovery["token_endpoint"], data=form, auth=credentials)

    async def verified(self, id_token: str) -> tuple[Json, Json]:
        """Verify an ID Token with exactly one matching key; answer its header and claims."""
        header: Json = json.loads(_decoded(id_token.partition(".")[0]))
        keys = (await self.http.get(self.discovery["jwks_uri"])).json()["keys"]
        assert header["alg"] == "RS256"
        matching = [
            key
            for key in keys
            if key["kid"] == header["kid"]
            and key["kty"] == "RSA"
            and key.get("alg", "RS256") == "RS256"
            and key.get("use", "sig") == "sig"
        ]
        assert len(matching) == 1
        token = jwt.decode(id_token, KeySet.import_key_set({"keys": matching}), algorithms=["RS256"])
        return header, dict(token.claims)

    async def ask_userinfo(self, access_token: str) -> httpx.Response:
        return await self.http.get(
            self.discovery["userinfo_endpoint"], headers={"Authorization": f"Bearer {access_token}"}
        )


async def base_flow(rp: RelyingParty, *, by_post: bool = False, **changes: str | None) -> Flow:
    """Run discovery, authorization, token and UserInfo, and hold what every oidcc module holds on its way."""
    await rp.discover()
    parameters = rp.request(**changes)
    outcome = await rp.authorize(parameters, by_post=by_post)
    assert "error" not in outcome.answer, outcome.answer
    code = outcome.answer["code"]
    response = await rp.redeem(code)
    tokens = check_token_response(response)
    header, claims = await rp.verified(tokens["id_token"])
    check_id_token(rp, claims, nonce=parameters.get("nonce"), tokens=tokens, code=code)
    userinfo = await rp.ask_userinfo(tokens["access_token"])
    assert userinfo.status_code == 200
    assert userinfo.headers["content-type"].split(";")[0] == "application/json"
    check_claims(userinfo.json(), now=rp.clock().timestamp())
    assert userinfo.json()["sub"] == claims["sub"]
    return Flow(outcome, code, tokens, claims, header, userinfo.json())


def check_token_response(response: httpx.Response) -> Json:
    """RFC 6749 §5.1, OIDC Core §3.1.3.3."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].split(";")[0] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    tokens: Json = response.json()
    assert isinstance(tokens["access_token"], str)
    assert tokens["token_type"].lower() == "bearer"
    assert 0 < tokens["expires_in"] < YEAR_SECONDS
    assert isinstance(tokens["id_token"], str)
    return tokens


def check_id_token(rp: RelyingParty, claims: Json, *, nonce: str | None, tokens: Json, code: str) -> None:
    """OIDC Core §2, §3.1.3.7; the suite's warnings are failures."""
    now = rp.clock().timestamp()
    assert claims["iss"] == rp.issuer
    assert rp.client_id in ([claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"])
    assert claims["exp"] > now
    assert abs(now - claims["iat"]) < SANE_SECONDS
    assert claims.get("nonce") == nonce
    assert set(claims) <= ID_TOKEN_CLAIMS
    check_claims(claims, now=now)
    if "at_hash" in claims:
        assert claims["at_hash"] == _half_hash(tokens["access_token"])
    if "c_hash" in claims:
        assert claims["c_hash"] == _half_hash(code)
    if "auth_time" in claims:
        assert type(claims["auth_time"]) is int
        assert claims["auth_time"] <= now


def check_claims(claims: Json, *, now: float) -> None:
    """OIDC Core §5.1: every standard claim has its type, and something in it."""
    assert re.fullmatch(r"[\x20-\x7e]{1,255}", claims["sub"])
    for name, value in claims.items():
        expected = STANDARD_CLAIMS.get(name)
        if expected is not None:
            assert type(value) is expected, name
            assert value not in ("", {}), name
    # Seconds, not milliseconds.
    assert claims.get("updated_at", 0) <= now
    assert all(isinstance(part, str) for part in claims.get("address", {}).values())


def bits_of(token: str) -> tuple[float, float]:
    """Answer how long a token is, and its entropy by Shannon, both in bits."""
    counts = Counter(token).values()
    shannon = -sum(count / len(token) * math.log2(count / len(token)) for count in counts)
    return len(token) * 8, shannon * len(token)


def _half_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()[:16]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
