from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from idp.errors import RedirectTarget
from idp.web.pages import Pages


class ClientResponse:
    """Sends the answer of the authorization endpoint back to the client, by the way that it asked for."""

    def __init__(self, *, pages: Pages, issuer: str) -> None:
        self._pages = pages
        self._issuer = issuer

    def to(self, target: RedirectTarget, parameters: Mapping[str, str]) -> Response:
        """Answer with `parameters`, the request's state and our issuer (RFC 9207 §2)."""
        answer = dict(parameters)
        if target.state is not None:
            answer["state"] = target.state
        answer["iss"] = self._issuer
        uri = target.redirect_uri.uri
        if target.response_mode == "form_post":
            # OAuth 2.0 Form Post Response Mode §2: nothing of the answer stands in an address.
            return self._pages.render(
                "form_post.html", {"action": uri, "fields": answer}, form_targets=(uri,)
            )
        # RFC 9700 §4.12: 303, so that a browser never repeats a POST body to the client.
        separator = "&" if "?" in uri else "?"
        return RedirectResponse(f"{uri}{separator}{urlencode(answer)}", status_code=303)
