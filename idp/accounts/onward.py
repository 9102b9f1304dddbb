"""Where a person goes on to: back to the application's request, or to the account. Nowhere else."""

from idp import opaque_token
from idp.web.parameters import Parameters

_REQUEST_ID_LENGTH = 22


def request_id(parameters: Parameters) -> str:
    """Read the id of the application's request; empty when there is none, or none by this spelling."""
    text = parameters.get("request") or ""
    is_legal = len(text) == _REQUEST_ID_LENGTH and opaque_token.decode(text) is not None
    return text if is_legal else ""


def address(request_id: str) -> str:
    """Answer the page after this one."""
    return f"/authorize?request={request_id}" if request_id else "/account"


def with_request(path: str, request_id: str) -> str:
    """Answer one of our own pages, with the application's request carried along."""
    return f"{path}?request={request_id}" if request_id else path
