"""The HTTP edge of a node around an application of the test's own."""

from starlette.types import ASGIApp

from idp.web.browser import Browsers
from idp.web.client_response import ClientResponse
from idp.web.error_responses import ErrorResponses
from idp.web.pages import Pages
from idp.web.security_headers import SecurityHeadersMiddleware
from idp.web.static_files import StaticFiles
from tests.support.node import ISSUER


def behind_the_edge(app: ASGIApp) -> ASGIApp:
    """Wrap an application in errors and headers, as `idp.app` wraps the router."""
    pages = Pages(
        browsers=Browsers(csrf_key=b"c" * 32, origin=ISSUER, is_https=True),
        static_files=StaticFiles(),
        service_name="idp",
        issuer=ISSUER,
    )
    client_response = ClientResponse(pages=pages, issuer=ISSUER)
    errors = ErrorResponses(app, pages=pages, client_response=client_response, issuer=ISSUER)
    return SecurityHeadersMiddleware(errors, is_https=True)
