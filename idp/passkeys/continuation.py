"""Where a person goes after a sign-in: back to the application's request, or to the account. Nowhere else."""

from idp import opaque_token
from idp.errors import InvalidRequest
from idp.web.parameters import Json

_REQUEST_ID_LENGTH = 22


def request_id(presented: Json) -> str:
    """Read the id of the application's request; empty without one. Raises InvalidRequest."""
    if presented is None or presented == "":
        return ""
    if not isinstance(presented, str) or not is_request_id(presented):
        raise InvalidRequest("request is malformed")
    return presented


def is_request_id(text: str) -> bool:
    """Whether the text could name a request: it ends up in an address."""
    return len(text) == _REQUEST_ID_LENGTH and opaque_token.decode(text) is not None


def address(request_id: str, *, has_notice: bool, is_offered_passkey: bool = False) -> str:
    """Answer the next page: word that waits for the person, or an offer, comes before the application."""
    query = f"?request={request_id}" if request_id else ""
    if has_notice:
        return f"/notice{query}"
    if is_offered_passkey:
        return f"/passkeys/offer{query}"
    return f"/authorize{query}" if request_id else "/account"
