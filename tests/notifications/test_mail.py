from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from idp.notifications.mail import MailError, OutgoingMail
from idp.notifications.outbox import MAIL_VALUES, MailKind
from idp.settings import SettingsError
from tests.notifications.mails import LINK, open_renderer, write_mail
from tests.support.frozen_clock import NOON

VALUES: dict[MailKind, dict[str, str | int]] = {
    "verify_email": {"link": LINK, "valid_hours": 24},
    "address_in_use": {},
    "reuse_detected": {"client_name": "Demo App"},
    "passkey_added": {"passkey_name": "Ada's MacBook"},
    "passkey_removed": {"passkey_name": "Ada's MacBook"},
    "email_added": {"address": "new@example.com"},
    "email_removed": {"address": "old@example.com"},
    "primary_email_changed": {"address": "new@example.com"},
    "signed_out_everywhere": {},
    "deletion_requested": {"due_on": "8 July 2026"},
    "deletion_cancelled": {},
    "account_deleted": {},
}


def _render(kind: MailKind, **changed: str | int) -> OutgoingMail:
    return open_renderer().render(
        kind,
        {**VALUES[kind], **changed},
        message_id="mail-1",
        recipient="ada@example.com",
        created_at=NOON,
    )


def _received(mail: OutgoingMail) -> EmailMessage:
    received = message_from_bytes(mail.message.as_bytes(), _class=EmailMessage, policy=default)
    assert isinstance(received, EmailMessage)
    return received


def _content(mail: OutgoingMail, kind: str) -> str:
    part = _received(mail).get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


def test_every_kind_of_mail_has_its_values_here() -> None:
    assert {kind: frozenset(values) for kind, values in VALUES.items()} == MAIL_VALUES


@pytest.mark.parametrize("kind", list(VALUES))
def test_every_kind_is_one_message_of_text_and_html_with_the_headers_it_needs(kind: MailKind) -> None:
    mail = _received(_render(kind))
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail["From"] == "Sign-in <no-reply@id.example.com>"
    assert mail["To"] == "ada@example.com"
    assert mail["Message-ID"] == "<mail-1@id.example.com>"
    assert mail["Date"] == "Wed, 01 Jul 2026 12:00:00 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert sorted(set(mail.keys())) == [
        "Auto-Submitted",
        "Content-Type",
        "Date",
        "From",
        "MIME-Version",
        "Message-ID",
        "Subject",
        "To",
    ]
    assert "{{" not in mail["Subject"]
    assert mail["Subject"]


@pytest.mark.parametrize("kind", list(VALUES))
def test_the_same_mail_is_written_in_the_same_bytes(kind: MailKind) -> None:
    assert _render(kind).message.as_bytes() == _render(kind).message.as_bytes()


def test_the_envelope_is_one_sender_and_one_recipient() -> None:
    mail = write_mail()
    assert (mail.sender, mail.recipient) == ("no-reply@id.example.com", "ada@example.com")


def test_the_confirmation_says_the_link_and_how_long_it_is_valid() -> None:
    mail = _render("verify_email")
    assert mail.message["Subject"] == "Confirm your e-mail address for Example ID"
    assert f"\n{LINK}\n" in _content(mail, "plain")
    assert "within 24 hours." in _content(mail, "plain")
    assert f'<a href="{LINK}"' in _content(mail, "html")


def test_one_hour_is_not_said_in_the_plural() -> None:
    assert "within 1 hour." in _content(_render("verify_email", valid_hours=1), "plain")


def test_the_link_stands_whole_in_the_raw_file() -> None:
    assert LINK.encode() in write_mail().message.as_bytes()


def test_an_address_in_use_is_told_how_to_sign_in_and_to_recover() -> None:
    text = _content(_render("address_in_use"), "plain")
    assert "https://id.example.com/login\n" in text
    assert "https://id.example.com/recover\n" in text


def test_a_sign_out_because_of_reuse_names_the_app() -> None:
    text = _content(_render("reuse_detected"), "plain")
    assert 'because an old sign-in from "Demo App" was used twice' in text
    assert "https://id.example.com/account\n" in text


def test_an_app_without_a_name_is_an_app() -> None:
    assert "from an app was used twice" in _content(_render("reuse_detected", client_name=""), "plain")


def test_markup_in_a_name_is_text() -> None:
    html = _content(
        _render("reuse_detected", client_name="<a href='https://evil.example'>X</a>&amp;"), "html"
    )
    assert "&lt;a href" in html
    assert "&amp;amp;" in html
    assert html.count("<a ") == 1


@pytest.mark.parametrize("kind", ["plain", "html"])
@pytest.mark.parametrize(
    "name", ["https://evil.example/x", "www.evil.example", "ada@evil.example", "evil.example"]
)
def test_a_name_never_becomes_a_link(kind: str, name: str) -> None:
    content = _content(_render("passkey_added", passkey_name=name), kind)
    assert name not in content
    assert "evil.\u200bexample" in content


def test_a_name_may_be_in_any_script() -> None:
    mail = _render("passkey_added", passkey_name="Ädas 📱 مفتاح")
    assert "Ädas 📱 مفتاح" in _content(mail, "plain")
    assert "Ädas 📱 مفتاح" in _content(mail, "html")


BREAKS = ["\r\n", "\n", "\r", "\0", "\u2028", "\u2029", "\x85", "\x0b", "\x1b", "\u202e", "\ud800"]


@pytest.mark.parametrize("character", BREAKS)
def test_a_name_breaks_no_line_and_turns_no_text(character: str) -> None:
    # Attack M13.
    name = f"x{character}Bcc: eve@evil.example{character}{character}<p>"
    mail = _render("reuse_detected", client_name=name)
    received = _received(mail)
    assert "Bcc" not in received
    lines = _content(mail, "plain").split("\n")
    assert not any(line.startswith("Bcc") for line in lines)
    assert character not in _content(mail, "plain").replace("\n", "")


def test_a_service_name_cannot_break_the_subject() -> None:
    renderer = open_renderer(service_name="Evil\r\nBcc: eve@evil.example")
    mail = renderer.render(
        "verify_email", VALUES["verify_email"], message_id="1", recipient="a@example.com", created_at=NOON
    )
    assert "Bcc" not in _received(mail)


def test_a_long_subject_is_folded_and_read_back_whole() -> None:
    renderer = open_renderer(service_name="Ünïcode " * 20)
    mail = renderer.render(
        "verify_email", VALUES["verify_email"], message_id="1", recipient="a@example.com", created_at=NOON
    )
    assert all(len(line) <= 998 for line in mail.message.as_bytes().split(b"\r\n"))
    assert _received(mail)["Subject"].startswith("Confirm your e-mail address for Ünïcode Ünïcode")


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "a@x,b@y",
        "a@x b@y",
        "a@x;b@y",
        '"a@x,b"@y',
        "a@x@y",
        "Ada <ada@example.com>",
        "<ada@example.com>",
        "ada@example.com\r\nBcc: eve@evil.example",
        "ada@example.com\n",
        " ada@example.com",
        "ada@[127.0.0.1]",
        "friends: ada@example.com;",
        "ada(eve)@example.com",
        "ada@example.com\0",
        "ada@example..com",
        "ada@" + "x" * 64 + ".com",
        "a" * 250 + "@x.com",
    ],
)
def test_anything_but_one_plain_address_is_refused(recipient: str) -> None:
    # Attack M11.
    with pytest.raises(MailError):
        write_mail(recipient)


def test_a_domain_in_another_script_goes_out_in_ascii() -> None:
    mail = write_mail("ada@bücher.example")
    assert mail.recipient == "ada@xn--bcher-kva.example"
    assert mail.message["To"] == "ada@xn--bcher-kva.example"


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/",
        "https://id.example.com.evil.example/",
        "https://id.example.com",
        "javascript:alert(1)",
        "https://id.example.com/\nX",
        'https://id.example.com/"><script>',
        "https://id.example.com/ x",
        "https://id.example.com/é",
    ],
)
def test_a_link_leads_to_us_alone(link: str) -> None:
    with pytest.raises(MailError):
        _render("verify_email", link=link)


@pytest.mark.parametrize("sender", ["", "no-reply", "a@x, b@y", "X <a@x>\r\nBcc: b@y", "X <a@x@y>"])
def test_a_sender_that_is_no_address_is_refused_at_boot(sender: str) -> None:
    with pytest.raises(SettingsError, match=r"smtp\.sender"):
        open_renderer(sender=sender)
