from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from idp import resources
from idp.web.browser import Browser, Browsers
from idp.web.static_files import StaticFiles


class Pages:
    """Renders pages for people from `templates/`, each with the policy that its own needs allow."""

    def __init__(
        self, *, browsers: Browsers, static_files: StaticFiles, service_name: str, issuer: str
    ) -> None:
        self._browsers = browsers
        self._environment = Environment(
            loader=FileSystemLoader(resources.directory("templates")),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            service_name=service_name,
            issuer=issuer,
            static=static_files.address,
        )
        self._environment.filters["exact_time"] = _exact_time

    def render(
        self,
        template: str,
        context: Mapping[str, object],
        *,
        browser: Browser | None = None,
        status: int = 200,
        form_targets: tuple[str, ...] = (),
        frame_targets: tuple[str, ...] = (),
    ) -> HTMLResponse:
        """Render a page; `form_targets` are the URIs that its forms (and their redirects) may lead to."""
        html = self._environment.get_template(template).render(
            csrf_token=browser.csrf_token if browser else "", **context
        )
        response = HTMLResponse(
            html,
            status_code=status,
            headers={
                "Content-Security-Policy": _policy(form_targets=form_targets, frame_targets=frame_targets),
                "Cache-Control": "no-store",
            },
        )
        if browser:
            self._browsers.remember(response, browser)
        return response


def _policy(*, form_targets: tuple[str, ...], frame_targets: tuple[str, ...]) -> str:
    # Chromium applies form-action to the redirects behind a form too, so a client's address must be named.
    forms = " ".join(["'self'", *(_source(target) for target in form_targets)])
    frames = " ".join(_source(target) for target in frame_targets) or "'none'"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        f"form-action {forms}; frame-src {frames}; frame-ancestors 'none'; base-uri 'none'"
    )


def _source(uri: str) -> str:
    """Spell a URI as a source expression: its origin, or its scheme where it has no host."""
    parts = urlsplit(uri)
    # CSP3 §2.3.1 (host-char) knows no brackets: an IPv6 address can only be named by its scheme.
    if parts.scheme in {"http", "https"} and "[" not in parts.netloc:
        return f"{parts.scheme}://{parts.netloc}"
    return f"{parts.scheme}:"


def _exact_time(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M UTC")
