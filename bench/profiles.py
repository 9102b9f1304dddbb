"""What a provider is asked all day, as one operation each; the same code visits us and the peer."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from bench.http_client import Answer, AnswerError, Connection
from tests.support.software_authenticator import SoftwareAuthenticator

REDIRECT_URI = "https://app.example/cb"
SCOPE = "openid profile email offline_access"
SEE_OTHER = (302, 303)
MAX_STEPS = 6


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a provider keeps its doors."""

    authorize: str
    token: str
    introspection: str
    userinfo: str
    jwks: str


@dataclass(frozen=True, slots=True)
class Target:
    """One provider under load."""

    port: int
    paths: Paths
    client_id: str
    client_secret: str
    resource: str | None
    """Asks for JWT access tokens where that needs asking."""

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def authorization(self) -> str:
        return "Basic " + base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()


@dataclass(slots=True)
class Visitor:
    """One person with one browser and one app, as the load sees them."""

    target: Target
    connection: Connection
    cookies: dict[str, str]
    authenticator: SoftwareAuthenticator | None = None
    csrf_token: str = ""
    refresh_token: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    async def token(
        self, form: dict[str, str]
    ) -> dict[str, Any]:  # Any: a token response is whatever JSON holds.
        answer = await self.connection.post_form(
            self.target.paths.token, form, Authorization=self.target.authorization
        )
        tokens: dict[str, Any] = json.loads(answer.require(200).body)
        return tokens


async def refresh(visitor: Visitor) -> None:
    """Rotate, and get an access token and an ID Token."""
    tokens = await visitor.token({"grant_type": "refresh_token", "refresh_token": visitor.refresh_token})
    if tokens["refresh_token"] == visitor.refresh_token or "id_token" not in tokens:
        raise AnswerError("no rotation, or no ID Token")
    visitor.refresh_token = tokens["refresh_token"]


async def code_flow(visitor: Visitor) -> None:
    """Authorize with a live session and PKCE, and redeem the code for all three tokens."""
    await get_tokens(visitor, resource=visitor.target.resource)


async def get_tokens(visitor: Visitor, *, resource: str | None) -> None:
    """As `code_flow`, for this resource."""
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "client_id": visitor.target.client_id,
        "redirect_uri": REDIRECT_URI,
        "response_type": "code",
        "scope": SCOPE,
        "state": secrets.token_urlsafe(8),
        "nonce": secrets.token_urlsafe(8),
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    } | ({"resource": resource} if resource else {})
    location = await _follow(visitor, f"{visitor.target.paths.authorize}?{urlencode(asked)}")
    tokens = await visitor.token(
        {
            "grant_type": "authorization_code",
            "code": parse_qs(urlsplit(location).query)["code"][0],
            "redirect_uri": REDIRECT_URI,
            "code_verifier": verifier,
        }
    )
    visitor.refresh_token, visitor.access_token = tokens["refresh_token"], tokens["access_token"]


async def _follow(visitor: Visitor, path: str) -> str:
    """Go where the provider sends the browser until that is the app."""
    for _ in range(MAX_STEPS):
        answer = (await visitor.connection.get(path, Cookie=visitor.cookie)).require(*SEE_OTHER)
        _keep_cookies(visitor, answer)
        location = answer.header("location")
        if location.startswith(REDIRECT_URI):
            return location
        parts = urlsplit(location)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
    raise AnswerError(f"no way to the app: {location}")


def _keep_cookies(visitor: Visitor, answer: Answer) -> None:
    for line in answer.headers("set-cookie"):
        name, _, value = line.partition(";")[0].partition("=")
        if value:
            visitor.cookies[name] = value
        else:
            visitor.cookies.pop(name, None)


async def client_credentials(visitor: Visitor) -> None:
    """A service's own token, as a JWT."""
    form = {"grant_type": "client_credentials"}
    if visitor.target.resource:
        form |= {"resource": visitor.target.resource, "scope": "api"}
    await visitor.token(form)


async def introspection(visitor: Visitor) -> None:
    """Ask whether an access token is good."""
    answer = await visitor.connection.post_form(
        visitor.target.paths.introspection,
        {"token": visitor.access_token},
        Authorization=visitor.target.authorization,
    )
    if json.loads(answer.require(200).body)["active"] is not True:
        raise AnswerError("not active")


async def userinfo(visitor: Visitor) -> None:
    """Ask who an access token is about."""
    answer = await visitor.connection.get(
        visitor.target.paths.userinfo, Authorization=f"Bearer {visitor.access_token}"
    )
    answer.require(200)


async def jwks(visitor: Visitor) -> None:
    """Fetch the signing keys."""
    (await visitor.connection.get(visitor.target.paths.jwks)).require(200)


async def passkey_sign_in(visitor: Visitor) -> None:
    """Begin and finish a sign-in, with a discoverable passkey and user verification."""
    if visitor.authenticator is None:
        raise AnswerError("no authenticator")
    options = await post_json(visitor, "/passkeys/authentication/options", {})
    credential = visitor.authenticator.get(options, origin=visitor.target.issuer)
    await post_json(visitor, "/passkeys/authentication", {"credential": credential})


# Any: JSON of our own pages' scripts, either way.
async def post_json(visitor: Visitor, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send what a script of a page sends."""
    answer = await visitor.connection.post(
        path,
        json.dumps(body).encode(),
        Content_Type="application/json",
        Accept="application/json",
        Origin=visitor.target.issuer,
        Cookie=visitor.cookie,
        X_CSRF_Token=visitor.csrf_token,
    )
    parsed: dict[str, Any] = json.loads(answer.require(200).body)
    return parsed


async def open_page(visitor: Visitor) -> None:
    """Load the sign-in page once: the browser's cookie, and the token that its scripts send."""
    answer = (await visitor.connection.get("/login", Cookie=visitor.cookie)).require(200)
    _keep_cookies(visitor, answer)
    visitor.csrf_token = answer.body.decode().split('data-csrf="', 1)[1].split('"', 1)[0]


OPERATIONS = {
    "refresh": refresh,
    "code_flow": code_flow,
    "client_credentials": client_credentials,
    "introspection": introspection,
    "userinfo": userinfo,
    "jwks": jwks,
    "passkey_sign_in": passkey_sign_in,
}
OURS_ONLY = frozenset({"passkey_sign_in"})
