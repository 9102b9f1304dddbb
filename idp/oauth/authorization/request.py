"""The authorization request (OAuth 2.1 §4.1.1, OIDC Core §3.1.2.1), validated without looking anything up."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, cast
from urllib.parse import urlsplit

from idp.errors import (
    InvalidRequest,
    InvalidTarget,
    OAuthError,
    RedirectTarget,
    RegistrationNotSupported,
    RequestNotSupported,
    RequestUriNotSupported,
    ResponseMode,
    UnauthorizedClient,
    UnsupportedResponseType,
    VerifiedRedirectUri,
)
from idp.oauth import pkce
from idp.oauth.authorization import claims_request
from idp.oauth.authorization.claims_request import ClaimsRequest
from idp.oauth.tokens import scope as scopes

Prompt = Literal["none", "login", "consent", "select_account", "create"]
PROMPTS: tuple[Prompt, ...] = ("none", "login", "consent", "select_account", "create")
RESPONSE_MODES: tuple[ResponseMode, ...] = ("query", "form_post")

MAX_STATE_LENGTH = 8192
MAX_VALUE_LENGTH = 2048
MAX_CLAIMS_LENGTH = 8192
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_MAX_AGE = re.compile(r"[0-9]{1,9}", re.ASCII)
# What a request may carry without our reading it any further.
_HINTS = ("nonce", "login_hint", "ui_locales", "claims_locales", "acr_values", "display")


class ReceivedParameters(Protocol):
    """What is asked of a parameter reader."""

    def get(self, name: str) -> str | None:
        """Answer a value; raises InvalidRequest when the parameter is repeated."""

    def get_json(self, name: str) -> Mapping[str, object] | None:
        """Answer a value that is a JSON object; raises InvalidRequest when it is anything else."""

    def get_all(self, name: str) -> tuple[str, ...]:
        """Answer every value."""

    def repeated(self, *, except_for: str) -> str | None:
        """Name a parameter that is repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRules:
    """What a client's registration lets it ask for."""

    issuer: str
    scopes: Collection[str]
    resources: Collection[str]
    default_resource: str
    default_max_age_seconds: int | None
    may_use_code: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a request would let the client know and do."""

    scopes: tuple[str, ...]
    claims: ClaimsRequest

    @property
    def told_scopes(self) -> tuple[str, ...]:
        """The scopes, and those that would release the claims asked for one by one: what consent is about."""
        return tuple(dict.fromkeys((*self.scopes, *self.claims.scopes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A request that may be granted as far as its own words go."""

    client_id: str
    target: RedirectTarget
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    code_challenge: str
    nonce: str | None
    prompts: frozenset[Prompt]
    max_age_seconds: int | None
    login_hint: str | None
    id_token_hint: str | None
    claims: ClaimsRequest
    acr_values: tuple[str, ...]
    is_acr_essential: bool
    proof_key_thumbprint: str | None

    @property
    def is_openid(self) -> bool:
        """Whether an ID Token is asked for."""
        return scopes.OPENID in self.scopes

    @property
    def told_scopes(self) -> tuple[str, ...]:
        """What the person is asked about."""
        return Wanted(scopes=self.scopes, claims=self.claims).told_scopes


def redirect_target(parameters: ReceivedParameters, redirect_uri: VerifiedRedirectUri) -> RedirectTarget:
    """Answer where errors may go from here on. A repeated or unknown value falls back to what is safe."""
    response_mode = _single_or_none(parameters, "response_mode")
    state = _single_or_none(parameters, "state")
    return RedirectTarget(
        redirect_uri=redirect_uri,
        state=state if state is None or len(state) <= MAX_STATE_LENGTH else None,
        response_mode="form_post" if response_mode == "form_post" else "query",
    )


def validate(
    parameters: ReceivedParameters, *, client_id: str, rules: ClientRules, target: RedirectTarget
) -> AuthorizationRequest:
    """Read a request whose client and redirect URI are right; raises an OAuthError to send there."""
    # OAuth 2.1 §3.1: no parameter may be repeated; RFC 8707 §2 makes the one exception.
    repeated = parameters.repeated(except_for="resource")
    if repeated is not None:
        raise InvalidRequest("a parameter is repeated")
    _refuse_unsupported(parameters)
    _check_response(parameters, rules)
    for name in _HINTS:
        if len(parameters.get(name) or "") > MAX_VALUE_LENGTH:
            raise InvalidRequest(f"{name} is too long")
    if len(parameters.get("state") or "") > MAX_STATE_LENGTH:
        raise InvalidRequest("state is too long")
    asked = wanted(parameters, registered=rules.scopes)
    claims = asked.claims
    challenge = pkce.check_challenge(
        parameters.get("code_challenge"), parameters.get("code_challenge_method")
    )
    return AuthorizationRequest(
        client_id=client_id,
        target=target,
        scopes=asked.scopes,
        resources=_resources(parameters.get_all("resource"), asked.scopes, rules),
        code_challenge=challenge,
        nonce=parameters.get("nonce"),
        prompts=_prompts(parameters.get("prompt")),
        max_age_seconds=_max_age(parameters.get("max_age"), default=rules.default_max_age_seconds),
        login_hint=parameters.get("login_hint"),
        id_token_hint=parameters.get("id_token_hint"),
        claims=claims,
        # OIDC Core §5.5.1.1: acr_values is the voluntary way of asking.
        acr_values=claims.acr_values or tuple((parameters.get("acr_values") or "").split()),
        is_acr_essential=claims.is_acr_essential and bool(claims.acr_values),
        proof_key_thumbprint=_thumbprint(parameters.get("dpop_jkt")),
    )


def wanted(parameters: ReceivedParameters, *, registered: Collection[str]) -> Wanted:
    """Read the scopes and claims that are asked for; raises InvalidScope or InvalidRequest."""
    allowed = scopes.allow(scopes.parse(parameters.get("scope")), registered=registered)
    if len(parameters.get("claims") or "") > MAX_CLAIMS_LENGTH:
        raise InvalidRequest("claims is too long")
    claims = claims_request.read(parameters.get_json("claims"), registered=registered)
    # OIDC Core §5.5: the parameter belongs to OpenID Connect; plain OAuth has nowhere to tell claims.
    return Wanted(scopes=allowed, claims=claims if scopes.OPENID in allowed else claims_request.NOTHING)


def check_resources(requested: Collection[str], rules: ClientRules) -> tuple[str, ...]:
    """Answer the resources that tokens may be for (RFC 8707 §2); raises InvalidTarget."""
    if not requested:
        return (rules.default_resource,)
    for resource in requested:
        parts = urlsplit(resource) if len(resource) <= MAX_VALUE_LENGTH else None
        if parts is None or not parts.scheme or parts.fragment or resource.endswith("#"):
            raise InvalidTarget("resource must be an absolute URI without a fragment")
        if resource not in rules.resources:
            raise InvalidTarget("the client is not registered for that resource")
    return tuple(dict.fromkeys(requested))


def _resources(
    requested: Collection[str], granted_scopes: Collection[str], rules: ClientRules
) -> tuple[str, ...]:
    resources = check_resources(requested, rules)
    # RFC 9068 §4: userinfo takes only tokens that are for the provider. Whoever names no resource and asks
    # who the person is gets one; whoever names an API gets a token that the API cannot use here.
    if not requested and scopes.OPENID in granted_scopes and rules.issuer not in resources:
        return (*resources, rules.issuer)
    return resources


def to_parameters(parameters: ReceivedParameters, names: Collection[str]) -> dict[str, str]:
    """Spell a validated request for storage; repeated resources are joined, for a URI holds no space."""
    kept = {name: " ".join(parameters.get_all(name)) for name in names}
    return {name: value for name, value in kept.items() if value}


def from_parameters(stored: Mapping[str, str]) -> list[tuple[str, str]]:
    """Answer the name and value pairs of a stored request."""
    pairs = [(name, value) for name, value in stored.items() if name != "resource"]
    return pairs + [("resource", resource) for resource in stored.get("resource", "").split()]


def _single_or_none(parameters: ReceivedParameters, name: str) -> str | None:
    try:
        return parameters.get(name)
    except OAuthError:
        return None


def _refuse_unsupported(parameters: ReceivedParameters) -> None:
    # OIDC Core §6.1, §6.2, §7.2.1: what is not offered is named, never passed over.
    if parameters.get("request") is not None:
        raise RequestNotSupported("request objects are not supported; send the parameters themselves")
    if parameters.get("request_uri") is not None:
        raise RequestUriNotSupported("request_uri is not supported; send the parameters themselves")
    if parameters.get("registration") is not None:
        raise RegistrationNotSupported("the registration parameter is not supported")


def _check_response(parameters: ReceivedParameters, rules: ClientRules) -> None:
    response_type = parameters.get("response_type")
    if response_type is None:
        raise InvalidRequest("response_type is required (code)")
    # OAuth 2.1 §10.1: no token ever travels in an address.
    if response_type != "code":
        raise UnsupportedResponseType("response_type must be code")
    if not rules.may_use_code:
        raise UnauthorizedClient("the client is not registered for the authorization_code grant")
    response_mode = parameters.get("response_mode")
    if response_mode is not None and response_mode not in RESPONSE_MODES:
        raise InvalidRequest("response_mode must be query or form_post")


def _prompts(prompt: str | None) -> frozenset[Prompt]:
    values = frozenset((prompt or "").split())
    if not values <= set(PROMPTS):
        raise InvalidRequest("prompt must be none, login, consent, select_account or create")
    # OIDC Core §3.1.2.1: none goes with no other value.
    if "none" in values and len(values) > 1:
        raise InvalidRequest("prompt=none goes with no other value")
    # The set was just compared with the literal's own values.
    return cast("frozenset[Prompt]", values)


def _max_age(max_age: str | None, *, default: int | None) -> int | None:
    # OIDC Registration §2 (default_max_age): the client's own word, where the request says nothing.
    if max_age is None:
        return default
    if not _MAX_AGE.fullmatch(max_age):
        raise InvalidRequest("max_age must be a number of seconds")
    return int(max_age)


def _thumbprint(dpop_jkt: str | None) -> str | None:
    # RFC 9449 §10: the code will be redeemed with this key, or not at all.
    if dpop_jkt is not None and not _THUMBPRINT.fullmatch(dpop_jkt):
        raise InvalidRequest("dpop_jkt must be a SHA-256 JWK thumbprint")
    return dpop_jkt
