import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from idp import cli

LINK = re.compile(r"http://localhost:8000/enrol\?token=[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # Any: whatever the command printed
        return json.loads(self.out)


Idp: TypeAlias = Callable[..., Outcome]


@pytest.fixture
def idp(
    sqlite_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Idp:
    """The `idp` command on a migrated database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDP_DATABASE_URL", sqlite_url)

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as leaving:
            cli.main(arguments)
        printed = capsys.readouterr()
        code = leaving.value.code
        assert isinstance(code, int)
        return Outcome(code, printed.out, printed.err)

    return run


def test_invite_prints_a_link_that_works_once(idp: Idp) -> None:
    invited = idp("user", "invite", "Ada@Example.com", "--name", "Ada Lovelace")
    assert invited.code == 0
    assert LINK.fullmatch(invited.out.strip())
    assert "works once" in invited.err
    (user,) = idp("user", "list", "--json").json
    assert (user["email"], user["name"], user["status"], user["role"]) == (
        "Ada@example.com",
        "Ada Lovelace",
        "pending",
        None,
    )
    assert user["email_verified"] is False


def test_an_administrator_is_invited(idp: Idp) -> None:
    invited = idp("user", "invite", "ada@example.com", "--admin", "--json").json
    assert LINK.fullmatch(invited["link"])
    assert set(invited) == {"link", "expires_at"}
    assert idp("user", "show", "ada@example.com", "--json").json["role"] == "administrator"


@pytest.mark.parametrize(
    "arguments",
    [
        ("invite",),
        ("invite", "a@x,b@y"),
        ("invite", "ada"),
        ("invite", "ada@example.com", "--name", "x" * 65),
        ("invite", "ada@example.com", "--name", "a\nb"),
        ("grant-role", "ada@example.com", "emperor"),
    ],
)
def test_wrong_usage_is_said_so_and_changes_nothing(idp: Idp, arguments: tuple[str, ...]) -> None:
    refused = idp("user", *arguments)
    assert refused.code == 2
    assert "Traceback" not in refused.err
    assert idp("user", "list", "--json").json == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("user", "show", "nobody@example.com"),
        ("user", "show", "nobody"),
        ("user", "disable", "nobody@example.com"),
        ("user", "enable", "nobody@example.com"),
        ("user", "delete", "nobody@example.com"),
        ("user", "recover", "nobody@example.com"),
        ("user", "grant-role", "nobody@example.com", "owner"),
        ("session", "revoke", "--user", "nobody@example.com"),
    ],
)
def test_a_user_who_is_not_there_is_refused_in_one_line(idp: Idp, arguments: tuple[str, ...]) -> None:
    refused = idp(*arguments)
    assert refused.code == 1
    assert refused.out == ""
    assert len(refused.err.splitlines()) == 1
    assert "there is no user" in refused.err


def test_an_address_that_two_accounts_claim_names_neither(idp: Idp) -> None:
    for _ in range(2):
        assert idp("user", "invite", "ada@example.com").code == 0
    assert idp("user", "disable", "ada@example.com").code == 1
    one, other = idp("user", "list", "--json").json
    assert idp("user", "disable", one["id"]).code == 0
    assert idp("user", "show", other["id"], "--json").json["status"] == "pending"


def test_a_user_is_disabled_and_enabled(idp: Idp) -> None:
    idp("user", "invite", "ada@example.com")
    assert idp("user", "enable", "ada@example.com").code == 1
    assert idp("user", "disable", "ada@example.com").code == 0
    assert idp("user", "show", "ada@example.com", "--json").json["status"] == "disabled"
    refused = idp("user", "recover", "ada@example.com")
    assert (refused.code, refused.err) == (1, "idp: the account is disabled, not active\n")
    assert idp("user", "enable", "ada@example.com").code == 0
    assert idp("user", "show", "ada@example.com", "--json").json["status"] == "active"
    assert LINK.fullmatch(idp("user", "recover", "ada@example.com").out.strip())


def test_a_deleted_user_is_gone_with_all_that_was_known(idp: Idp) -> None:
    idp("user", "invite", "ada@example.com", "--name", "Ada")
    (before,) = idp("user", "list", "--json").json
    assert idp("user", "delete", "ada@example.com").code == 0
    assert idp("user", "show", "ada@example.com").code == 1
    (after,) = idp("user", "list", "--json").json
    assert (after["id"], after["status"], after["name"], after["email"]) == (
        before["id"],
        "deleted",
        "",
        None,
    )
    assert idp("user", "delete", before["id"]).code == 1


def test_roles_are_given_and_taken(idp: Idp) -> None:
    idp("user", "invite", "ada@example.com")
    assert idp("user", "grant-role", "ada@example.com", "owner").code == 0
    assert idp("user", "show", "ada@example.com", "--json").json["role"] == "owner"
    assert idp("user", "revoke-role", "ada@example.com", "administrator").code == 1
    assert idp("user", "revoke-role", "ada@example.com", "owner").code == 0
    assert idp("user", "show", "ada@example.com", "--json").json["role"] is None


def test_sessions_are_revoked(idp: Idp) -> None:
    idp("user", "invite", "ada@example.com")
    revoked = idp("session", "revoke", "--user", "ada@example.com")
    assert (revoked.code, revoked.out) == (0, "ada@example.com is signed out everywhere.\n")


def test_people_read_a_table_and_fields(idp: Idp) -> None:
    idp("user", "invite", "ada@example.com", "--name", "Ada")
    heading, row = idp("user", "list").out.splitlines()
    assert heading.split() == ["USER_ID", "STATUS", "ROLE", "EMAIL", "NAME"]
    assert row.split()[1:] == ["pending", "-", "ada@example.com", "Ada"]
    shown = idp("user", "show", "ada@example.com").out
    assert "status: pending" in shown
    assert "passkeys: -" in shown


@pytest.mark.parametrize(
    "command",
    ["invite", "recover", "list", "show", "disable", "enable", "delete", "grant-role", "revoke-role"],
)
def test_every_command_helps_with_an_example(idp: Idp, command: str) -> None:
    helped = idp("user", command, "--help")
    assert helped.code == 0
    assert f"Example: idp user {command}" in helped.out


def test_update_changes_what_is_known_of_a_person(idp: Idp) -> None:
    idp("user", "invite", "ada@example.com", "--name", "Ada")
    updated = idp(
        *("user", "update", "ada@example.com", "--name", "Ada Lovelace"),
        *("--claim", "birthdate=1815-12-10", "--claim", "address.country=GB"),
        *("--claim", "phone_number=+442071838750", "--claim", "phone_number_verified=true"),
    )
    assert updated.code == 0
    shown = idp("user", "show", "ada@example.com", "--json").json
    assert shown["name"] == "Ada Lovelace"
    assert shown["profile"] == {
        "birthdate": "1815-12-10",
        "address": {"country": "GB"},
        "phone_number": "+442071838750",
        "phone_number_verified": True,
    }
    assert "birthdate: 1815-12-10" in idp("user", "show", "ada@example.com").out

    assert idp("user", "update", "ada@example.com", "--claim", "birthdate=").code == 0
    assert "birthdate" not in idp("user", "show", "ada@example.com", "--json").json["profile"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--claim", "birthdate"), 2),
        (("--claim", "gender=female", "--claim", "gender=male"), 2),
        (("--name", "x" * 65), 2),
        (("--claim", "birthdate=yesterday"), 1),
        (("--claim", "sub=somebody"), 1),
        (("--claim", "gender=female", "--claim", "email=eve@example.com"), 1),
    ],
)
def test_update_refuses_what_a_claim_cannot_be(idp: Idp, arguments: tuple[str, ...], code: int) -> None:
    idp("user", "invite", "ada@example.com", "--name", "Ada")
    before = idp("user", "show", "ada@example.com", "--json").json
    refused = idp("user", "update", "ada@example.com", *arguments)
    assert refused.code == code
    assert "Traceback" not in refused.err
    assert idp("user", "show", "ada@example.com", "--json").json == before
