"""What is known about a client, in the words of RFC 7591 §2 and the OpenID registration texts."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from idp.clients import metadata_fields, redirect_uri
from idp.clients.metadata_fields import AuthMethod, GrantType
from idp.clients.redirect_uri import ApplicationType
from idp.errors import InvalidClientMetadata, InvalidRedirectUri

DEFAULT_GRANT_TYPES: tuple[GrantType, ...] = ("authorization_code", "refresh_token")
DEFAULT_SCOPE = "openid profile email offline_access"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMetadata:
    """One client's metadata, valid as a whole; `parse_metadata` makes it, `to_dict` spells it out again."""

    client_name: str
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    token_endpoint_auth_method: AuthMethod = "client_secret_basic"  # noqa: S105 - a method's name
    jwks: dict[str, object] | None = None
    jwks_uri: str | None = None
    grant_types: tuple[GrantType, ...] = DEFAULT_GRANT_TYPES
    response_types: tuple[str, ...] = ("code",)
    scope: str = DEFAULT_SCOPE
    application_type: ApplicationType = "web"
    client_uri: str | None = None
    logo_uri: str | None = None
    policy_uri: str | None = None
    tos_uri: str | None = None
    contacts: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    default_audience: str | None = None
    backchannel_logout_uri: str | None = None
    backchannel_logout_session_required: bool = False
    frontchannel_logout_uri: str | None = None
    frontchannel_logout_session_required: bool = False
    default_max_age: int | None = None
    require_auth_time: bool = False
    initiate_login_uri: str | None = None
    dpop_bound_access_tokens: bool = False
    require_pushed_authorization_requests: bool = False
    userinfo_signed_response_alg: str | None = None

    @property
    def is_public(self) -> bool:
        """Whether the client cannot keep a secret (RFC 6749 §2.1)."""
        return self.token_endpoint_auth_method == "none"  # noqa: S105 - a method's name

    @property
    def has_secret(self) -> bool:
        """Whether the client proves itself by a secret that we made."""
        return self.token_endpoint_auth_method in {"client_secret_basic", "client_secret_post"}

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scope values that the client may ask for."""
        return tuple(self.scope.split())

    def to_dict(self) -> dict[str, object]:
        """Spell the metadata as JSON would; what is not set is left out."""
        spelt = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in spelt.items()
            if value is not None
        }


def parse_metadata(values: Mapping[str, object]) -> ClientMetadata:
    """Read a client's metadata and fill in what it leaves open; null means left open.

    Raises InvalidRedirectUri or InvalidClientMetadata for the first fault, naming its field. An unknown field
    is a fault: a misspelt one would otherwise be passed over in silence.
    """
    given = metadata_fields.read(values)
    if "client_name" not in given:
        raise InvalidClientMetadata("client_name is required")
    metadata = ClientMetadata(**(_defaults(given) | given))
    _check_grant_types(metadata)
    _check_redirect_uris(metadata)
    _check_addresses(metadata)
    _check_keys(metadata)
    return metadata


def change_metadata(metadata: ClientMetadata, changes: Mapping[str, object]) -> ClientMetadata:
    """Put `changes` over the metadata and check the whole anew; null takes a field back to its default."""
    present = metadata.to_dict()
    if "grant_types" in changes:
        # RFC 7591 §2.1: the response types follow from the grant types, unless they are changed as well.
        del present["response_types"]
    return parse_metadata({**present, **changes})


def restore_metadata(stored: Mapping[str, object]) -> ClientMetadata:
    """Take back what `to_dict` wrote, unchecked: a rule that became stricter must not lock a client out.

    Fields that this release does not know are left out, for a newer one may serve beside it.
    """
    # Any: the values are those that parse_metadata once checked.
    known: dict[str, Any] = {
        field.name: tuple(value) if isinstance(value, list) else value
        for field in fields(ClientMetadata)
        if (value := stored.get(field.name)) is not None
    }
    return ClientMetadata(**known)


def _defaults(given: Mapping[str, object]) -> dict[str, Any]:
    # Any: each value has the type of its field; the type checker cannot follow names in a dict.
    is_for_people = "authorization_code" in given.get("grant_types", DEFAULT_GRANT_TYPES)  # type: ignore[operator]  # read() checked the type
    is_native = given.get("application_type") == "native"
    return {
        "response_types": ("code",) if is_for_people else (),
        "scope": DEFAULT_SCOPE if is_for_people else "",
        # RFC 8252 §8.4: a secret that every installation carries is none.
        "token_endpoint_auth_method": "none" if is_native else "client_secret_basic",
    }


def _check_grant_types(metadata: ClientMetadata) -> None:
    is_for_people = "authorization_code" in metadata.grant_types
    # A resource server gets no tokens: it asks about those that were issued for it (RFC 7662).
    if not metadata.grant_types and (metadata.is_public or not metadata.audiences):
        raise InvalidClientMetadata(
            "grant_types may be empty for a resource server alone: confidential, with audiences that name it"
        )
    if not is_for_people and "refresh_token" in metadata.grant_types:
        raise InvalidClientMetadata("grant_types: refresh_token needs authorization_code beside it")
    # RFC 6749 §4.4: the client credentials grant is for confidential clients alone.
    if metadata.is_public and "client_credentials" in metadata.grant_types:
        raise InvalidClientMetadata("grant_types: client_credentials is not for public clients")
    # RFC 7591 §2.1: the two lists go together.
    if metadata.response_types != (("code",) if is_for_people else ()):
        raise InvalidClientMetadata(
            "response_types must be [code] with the authorization_code grant, and empty without it"
        )
    if is_for_people and not metadata.redirect_uris:
        raise InvalidRedirectUri("redirect_uris is required for the authorization_code grant")


def _check_keys(metadata: ClientMetadata) -> None:
    # RFC 7591 §2: by value or by reference, never both.
    if metadata.jwks is not None and metadata.jwks_uri is not None:
        raise InvalidClientMetadata("jwks and jwks_uri exclude each other")
    proves_by_key = metadata.token_endpoint_auth_method == "private_key_jwt"  # noqa: S105 - a method's name
    if proves_by_key and metadata.jwks is None and metadata.jwks_uri is None:
        raise InvalidClientMetadata("private_key_jwt needs jwks or jwks_uri")


def _check_redirect_uris(metadata: ClientMetadata) -> None:
    application_type = metadata.application_type
    for position, uri in enumerate(metadata.redirect_uris, start=1):
        try:
            redirect_uri.check_registrable(uri, application_type=application_type)
        except InvalidRedirectUri as fault:
            raise InvalidRedirectUri(f"redirect_uris, entry {position}: {fault.description}") from fault
    for position, uri in enumerate(metadata.post_logout_redirect_uris, start=1):
        try:
            redirect_uri.check_registrable(uri, application_type=application_type)
        except InvalidRedirectUri as fault:
            raise InvalidClientMetadata(
                f"post_logout_redirect_uris, entry {position}: {fault.description}"
            ) from fault


def _check_addresses(metadata: ClientMetadata) -> None:
    if metadata.default_audience is not None and metadata.default_audience not in metadata.audiences:
        raise InvalidClientMetadata("default_audience must be one of audiences")
    # OIDC Front-Channel Logout §2: scheme, host and port of a registered redirect URI.
    if metadata.frontchannel_logout_uri is not None:
        web_uris = [uri for uri in metadata.redirect_uris if uri.startswith(("https:", "http:"))]
        origins = {redirect_uri.check_web_uri(uri).origin for uri in web_uris}
        if redirect_uri.check_web_uri(metadata.frontchannel_logout_uri).origin not in origins:
            raise InvalidClientMetadata(
                "frontchannel_logout_uri must have the scheme, host and port of one of redirect_uris"
            )
