"""The claims parameter (OIDC Core §5.5): what a client asks to be told, claim by claim."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from idp.errors import InvalidRequest
from idp.oauth.tokens import scope as scopes

MAX_VALUES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsRequest:
    """What of a claims parameter has any effect here.

    Which of the claims about a person are essential makes no difference: each is told if it is known, and
    none that is missing is an error (OIDC Core §5.5.1).
    """

    userinfo: tuple[str, ...] = ()
    id_token: tuple[str, ...] = ()
    subjects: frozenset[str] | None = None
    """Whom alone the answer may be about (§5.5.1: sub with a value)."""
    acr_values: tuple[str, ...] = ()
    is_acr_essential: bool = False

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that would release the same claims."""
        return scopes.releasing((*self.userinfo, *self.id_token))


NOTHING = ClaimsRequest()


def read(claims: Mapping[str, object] | None, *, registered: Collection[str]) -> ClaimsRequest:
    """Read a claims parameter, parsed already; raises InvalidRequest.

    Members that are not understood are passed over (§5.5), and so are claims that the client is registered
    for no scope of.
    """
    if claims is None:
        return NOTHING
    userinfo, id_token = (_member(claims, name) for name in ("userinfo", "id_token"))
    allowed = set(scopes.claims_of(registered))
    acr = id_token.get("acr", {})
    return ClaimsRequest(
        userinfo=tuple(name for name in userinfo if name in allowed),
        id_token=tuple(name for name in id_token if name in allowed),
        subjects=_subjects(userinfo.get("sub", {}), id_token.get("sub", {})),
        acr_values=_values(acr),
        is_acr_essential=acr.get("essential") is True,
    )


def _member(claims: Mapping[str, object], name: str) -> dict[str, Mapping[str, object]]:
    """Read `userinfo` or `id_token`: each claim is null or says how it is wanted."""
    member = claims.get(name)
    if member is None:
        return {}
    if not isinstance(member, Mapping):
        raise InvalidRequest(f"claims: {name} must be an object")
    return dict(_wishes(name, member))


def _wishes(member_name: str, member: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    fault = InvalidRequest(
        f"claims: each member of {member_name} must be null or an object of essential, value and values"
    )
    for name, wish in member.items():
        if wish is None:
            yield name, {}
            continue
        if not isinstance(wish, Mapping) or not isinstance(wish.get("essential", False), bool):
            raise fault
        values = wish.get("values", [])
        if not isinstance(values, list) or len(values) > MAX_VALUES:
            raise fault
        yield name, wish


def _values(wish: Mapping[str, object]) -> tuple[str, ...]:
    values = wish.get("values", [])
    every = [*(values if isinstance(values, list) else []), *([wish["value"]] if "value" in wish else [])]
    if not all(isinstance(value, str) for value in every):
        raise InvalidRequest("claims: the values of sub and acr must be strings")
    return tuple(dict.fromkeys(map(str, every)))


def _subjects(*wishes: Mapping[str, object]) -> frozenset[str] | None:
    named = [frozenset(values) for wish in wishes if (values := _values(wish))]
    if not named:
        return None
    both = named[0].intersection(*named[1:])
    if not both:
        raise InvalidRequest("claims: userinfo and id_token ask about different people")
    return both
