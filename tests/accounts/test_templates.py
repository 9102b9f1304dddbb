from typing import Any

import pytest

from idp import resources
from idp.accounts.account_view import (
    AppView,
    EmailView,
    EndedSessionView,
    EventView,
    PasskeyView,
    SessionView,
    ToldAppView,
)
from idp.accounts.moment import Moment
from idp.errors import NextStep
from idp.sessions.sign_out import AppState
from idp.web.browser import Browsers
from idp.web.pages import Pages
from idp.web.static_files import StaticFiles
from tests.accounts.site import ORIGIN
from tests.accounts.test_account_page import HOSTILE, assert_inert

THEN = Moment(relative="2 hours ago", exact="2026-07-01 12:00 UTC", iso="2026-07-01T12:00:00+00:00")
REQUEST = "A" * 22
STATES = [state.value for state in AppState]
# Pieces and the frame of every page; what stands in a folder of its own has another owner.
_NO_PAGES = {"base.html", "pieces.html"}


def contexts(text: str) -> dict[str, dict[str, Any]]:  # Any: what each page wants
    """Answer a context for every page in which all that strangers can choose is `text`."""
    return {
        "login.html": {
            "heading": f"Sign in to {text}",
            "client_name": text,
            "request_id": REQUEST,
            "email": text,
            "signup_open": True,
            "notice": text,
        },
        "methods.html": {"request_id": REQUEST},
        "signup.html": {"request_id": REQUEST},
        "enrol.html": {
            "heading": "Create your passkey",
            "message": "You are invited.",
            "token": text,
            "email": text,
            "name": text,
            "is_name_fixed": False,
        },
        "verify_email.html": {"address": text, "token": text},
        "notice.html": {
            "heading": "We signed you out everywhere",
            "message": text,
            "app_name": text,
            "seen_at": THEN,
            "request_id": REQUEST,
        },
        "account.html": {
            "person_name": text,
            "done": text,
            "passkeys": [
                PasskeyView(
                    id="AA",
                    name=text,
                    is_current=True,
                    is_synced=True,
                    is_suspect=True,
                    added=THEN,
                    last_used=None,
                )
            ]
            * 2,
            "sessions": [
                SessionView(id="s", device=text, address=text, is_current=False, started=THEN, last_seen=THEN)
            ],
            "ended_sessions": [
                EndedSessionView(
                    device=text, ended=THEN, apps=[ToldAppView(name=text, state=state) for state in STATES]
                )
            ],
            "apps": [AppView(client_id=text, name=text, scopes=[text], since=THEN, last_used=THEN)],
            "emails": [EmailView(id="e", address=text, is_verified=False, is_primary=False)],
            "add_operation": REQUEST,
            "request_id": REQUEST,
            "deletion_on": "8 July 2026",
            "events": [EventView(text=text, app_name=text, is_failure=True, at=THEN, address=text)],
        },
        "offer.html": {"request_id": REQUEST, "onward": f"/authorize?request={REQUEST}"},
        "confirm.html": {
            "heading": f"Is this you, removing {text}?",
            "consequence": text,
            "operation_id": REQUEST,
            "address": "/account/passkeys/remove",
        },
        "signed_out.html": {
            "apps": [{"name": text, "state": state} for state in STATES],
            "return_to": {"label": text, "href": "https://app.example/"},
            "again": f"/signed-out?of={REQUEST}",
        },
        "signing_out.html": {
            "frames": [],
            "onward": "https://app.example/?state=1&x=2",
        },
        "recover.html": {"request_id": REQUEST},
        "consent.html": {
            "heading": f"Allow {text} to see your name?",
            "client_name": text,
            "client_host": text,
            "is_unverified": True,
            "person_name": text,
            "person_email": text,
            "scopes": [{"name": text, "text": text}],
            "request_id": REQUEST,
        },
        "logout.html": {"client_name": text, "fields": {text: text}, "person_name": text},
        "finished.html": {"client_name": text, "app_address": "https://app.example/"},
        "expired.html": {"continue_address": f"/authorize?request={REQUEST}"},
        "error.html": {
            "heading": text,
            "message": text,
            "hint": text,
            "next_step": NextStep(text, "/account"),
            "reference": "7F3K-2M9A",
        },
        "form_post.html": {"action": "https://app.example/cb", "fields": {text: text}},
    }


@pytest.fixture(scope="module")
def pages() -> Pages:
    browsers = Browsers(csrf_key=b"c" * 32, origin=ORIGIN, is_https=False)
    return Pages(browsers=browsers, static_files=StaticFiles(), service_name="Harbour & <b>", issuer=ORIGIN)


def test_every_page_is_here() -> None:
    files = {file.name for file in resources.directory("templates").glob("*.html")}
    assert set(contexts("")) == files - _NO_PAGES


@pytest.mark.parametrize("template", sorted(contexts("")))
def test_a_page_is_inert_whatever_strangers_called_themselves(pages: Pages, template: str) -> None:
    for text in HOSTILE:
        page = bytes(pages.render(template, contexts(text)[template]).body).decode()
        assert_inert(page)
        assert "<b>" not in page


@pytest.mark.parametrize("template", sorted(contexts("")))
def test_a_page_has_its_language_title_landmarks_and_one_heading(pages: Pages, template: str) -> None:
    page = bytes(pages.render(template, contexts("Demo App")[template]).body).decode()
    assert page.startswith("<!doctype html>")
    assert '<html lang="en" dir="ltr">' in page
    assert page.count("<h1") == page.count("<main ") == page.count("<footer ") == 1
    assert '<a class="skip" href="#page">' in page
    title = page.partition("<title>")[2].partition("</title>")[0]
    heading = page.partition("<h1")[2].partition(">")[2].partition("</h1>")[0]
    assert title == f"{heading} \u2013 Harbour &amp; &lt;b&gt;"


@pytest.mark.parametrize("template", sorted(contexts("")))
def test_every_field_has_a_label_and_every_form_its_token(pages: Pages, template: str) -> None:
    browser = Browsers(csrf_key=b"c" * 32, origin=ORIGIN, is_https=False).renewed()
    page = bytes(pages.render(template, contexts("x")[template], browser=browser).body).decode()
    for field in page.split("<input ")[1:]:
        tag = field.partition(">")[0]
        if 'type="hidden"' not in tag:
            field_id = tag.partition('id="')[2].partition('"')[0]
            assert f'<label for="{field_id}">' in page
    for form in page.split("<form ")[1:]:
        tag, _, rest = form.partition(">")
        if 'action="/' in tag:
            token = f'<input type="hidden" name="csrf_token" value="{browser.csrf_token}">'
            assert token in rest.partition("</form>")[0]


def test_a_frame_of_an_app_can_do_nothing_to_the_page(pages: Pages) -> None:
    context = contexts("Demo App")["signing_out.html"] | {"frames": ["https://app.example/logout?sid=1"]}
    page = bytes(pages.render("signing_out.html", context).body).decode()
    assert 'src="https://app.example/logout?sid=1" sandbox="allow-scripts allow-same-origin"' in page
