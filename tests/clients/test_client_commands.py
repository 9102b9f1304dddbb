import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from idp import cli

CALLBACK = "https://app.example.com/callback"
WEB = ("--name", "Demo App", "--redirect-uri", CALLBACK)


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
def bare_idp(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Idp:
    """The `idp` command in an empty folder, without a database."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as leaving:
            cli.main(arguments)
        printed = capsys.readouterr()
        code = leaving.value.code
        assert isinstance(code, int)
        return Outcome(code, printed.out, printed.err)

    return run


@pytest.fixture
def idp(bare_idp: Idp, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Idp:
    """The `idp` command on a migrated database."""
    monkeypatch.setenv("IDP_DATABASE_URL", sqlite_url)
    return bare_idp


def test_create_prints_the_identifier_and_once_the_secret(idp: Idp) -> None:
    created = idp("client", "create", *WEB)
    assert created.code == 0
    printed = dict(line.split(": ") for line in created.out.splitlines())
    assert list(printed) == ["client_id", "client_secret"]
    assert len(printed["client_secret"]) == 43
    for command in (("list",), ("list", "--json"), ("show", printed["client_id"])):
        shown = idp("client", *command)
        assert printed["client_id"] in shown.out
        assert printed["client_secret"] not in shown.out


def test_create_answers_in_the_words_of_rfc_7591(idp: Idp) -> None:
    created = idp("client", "create", *WEB, "--json").json
    assert created["client_name"] == "Demo App"
    assert created["redirect_uris"] == [CALLBACK]
    assert created["client_secret_expires_at"] == 0
    assert created["grant_types"] == ["authorization_code", "refresh_token"]
    assert created["token_endpoint_auth_method"] == "client_secret_basic"


def test_create_takes_every_option(idp: Idp) -> None:
    created = idp(
        "client", "create", "--name", "App", "--redirect-uri", "com.example.app:/cb", "--redirect-uri",
        "http://127.0.0.1/cb", "--native", "--public", "--first-party", "--scope", "openid email",
        "--grant-type", "authorization_code", "--audience", "https://api.example.com/",
        "--post-logout-redirect-uri", "com.example.app:/bye", "--client-id", "my-app", "--json",
    ).json  # fmt: skip
    assert created["client_id"] == "my-app"
    assert "client_secret" not in created
    assert created["redirect_uris"] == ["com.example.app:/cb", "http://127.0.0.1/cb"]
    assert created["post_logout_redirect_uris"] == ["com.example.app:/bye"]
    assert created["application_type"] == "native"
    assert created["token_endpoint_auth_method"] == "none"
    assert created["is_first_party"] is True
    assert created["scope"] == "openid email"
    assert created["grant_types"] == ["authorization_code"]
    assert created["audiences"] == ["https://api.example.com/"]


def test_create_reads_a_file_and_options_win(idp: Idp, tmp_path: Path) -> None:
    file = tmp_path / "client.json"
    file.write_text(json.dumps({"client_name": "From file", "redirect_uris": [CALLBACK], "tos_uri": None}))
    created = idp("client", "create", "--from", str(file), "--name", "From option", "--json").json
    assert created["client_name"] == "From option"
    assert created["redirect_uris"] == [CALLBACK]


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '"x"', "\xff"])
def test_create_refuses_a_file_that_is_no_object(idp: Idp, tmp_path: Path, content: str) -> None:
    file = tmp_path / "client.json"
    file.write_bytes(content.encode("latin-1"))
    _assert_refused(idp("client", "create", "--from", str(file), "--name", "x"), "client.json")


def test_a_machine_needs_no_redirect_uri(idp: Idp) -> None:
    created = idp("client", "create", "--name", "Job", "--grant-type", "client_credentials", "--json").json
    assert created["response_types"] == []
    assert created["client_secret"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--name", "x"), "redirect_uris is required"),
        (("--name", "x", "--redirect-uri", f"{CALLBACK}#"), "fragment"),
        (("--name", "x", "--redirect-uri", "http://app.example.com/"), "https"),
        (("--name", "x", "--redirect-uri", "myapp:/cb", "--native"), "dot"),
        (("--name", "x\x1b[2J", "--redirect-uri", CALLBACK), "client_name"),
        (("--name", "x", "--redirect-uri", CALLBACK, "--grant-type", "password"), "grant_types"),
        (("--name", "x", "--redirect-uri", CALLBACK, "--client-id", "a b"), "client_id"),
        (("--name", "x", "--public", "--grant-type", "client_credentials"), "public"),
    ],
)
def test_create_refuses_in_one_line_and_registers_nothing(
    idp: Idp, arguments: tuple[str, ...], reason: str
) -> None:
    _assert_refused(idp("client", "create", *arguments), reason)
    assert idp("client", "list", "--json").json == []


def test_update_replaces_what_is_given_and_keeps_the_rest(idp: Idp) -> None:
    client_id = idp("client", "create", *WEB, "--scope", "openid", "--json").json["client_id"]
    updated = idp("client", "update", client_id, "--name", "New", "--first-party", "--json").json
    assert updated["client_name"] == "New"
    assert updated["scope"] == "openid"
    assert updated["is_first_party"] is True
    assert updated["version"] == 2
    assert "client_secret" not in updated


def test_update_to_public_and_back_gives_a_new_secret(idp: Idp) -> None:
    created = idp("client", "create", *WEB, "--json").json
    public = idp("client", "update", created["client_id"], "--public", "--json").json
    assert public["secret_ends_at"] == []
    confidential = idp("client", "update", created["client_id"], "--confidential", "--json").json
    assert confidential["client_secret"] not in {None, created["client_secret"]}


def test_rotating_a_secret_prints_the_new_one_and_lets_the_old_overlap_if_asked(idp: Idp) -> None:
    created = idp("client", "create", *WEB, "--json").json
    client_id = created["client_id"]
    rotated = idp("client", "rotate-secret", client_id, "--json").json
    assert rotated["client_id"] == client_id
    assert rotated["client_secret"] != created["client_secret"]
    assert idp("client", "show", client_id, "--json").json["secret_ends_at"] == [None]
    assert idp("client", "rotate-secret", client_id, "--overlap", "24h").code == 0
    ends = idp("client", "show", client_id, "--json").json["secret_ends_at"]
    assert len(ends) == 2
    assert ends.count(None) == 1


def test_disabling_enabling_and_deleting(idp: Idp) -> None:
    client_id = idp("client", "create", *WEB, "--json").json["client_id"]
    assert idp("client", "disable", client_id).code == 0
    assert "disabled" in idp("client", "list").out
    assert idp("client", "show", client_id, "--json").json["is_disabled"] is True
    assert idp("client", "enable", client_id).code == 0
    assert idp("client", "show", client_id, "--json").json["is_disabled"] is False
    assert idp("client", "delete", client_id).code == 0
    assert idp("client", "list", "--json").json == []


@pytest.mark.parametrize("command", ["show", "update", "delete", "disable", "enable", "rotate-secret"])
def test_an_unknown_client_is_refused(idp: Idp, command: str) -> None:
    _assert_refused(idp("client", command, "nope"), "no such client")


def test_a_taken_identifier_is_refused(idp: Idp) -> None:
    assert idp("client", "create", *WEB, "--client-id", "app").code == 0
    _assert_refused(idp("client", "create", *WEB, "--client-id", "app"), "client_id")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nope",),
        ("client", "nope"),
        ("client", "show"),
        ("client", "create"),
        ("client", "create", *WEB, "--nope"),
        ("client", "create", "--from", "nope.json"),
        ("client", "rotate-secret", "x", "--overlap", "soon"),
    ],
)
def test_wrong_usage_leaves_with_2(idp: Idp, arguments: tuple[str, ...]) -> None:
    outcome = idp(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "command",
    [
        (), ("migrate",), ("client", "create"), ("client", "update"), ("client", "list"), ("client", "show"),
        ("client", "delete"), ("client", "disable"), ("client", "enable"), ("client", "rotate-secret"),
    ],
)  # fmt: skip
def test_every_command_has_help_with_an_example(bare_idp: Idp, command: tuple[str, ...]) -> None:
    outcome = bare_idp(*command, "--help")
    assert outcome.code == 0
    assert "Example: idp " in outcome.out


def test_without_a_database_a_command_says_what_to_run(bare_idp: Idp, tmp_path: Path) -> None:
    _assert_refused(bare_idp("client", "list"), "run idp migrate")
    assert list(tmp_path.iterdir()) == []


def test_with_an_empty_database_a_command_says_what_to_run(bare_idp: Idp, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "idp.db").touch()
    _assert_refused(bare_idp("client", "list"), "run idp migrate")


def test_migrate_makes_a_database_for_its_owner_alone(bare_idp: Idp, tmp_path: Path) -> None:
    first = bare_idp("migrate")
    assert first.code == 0
    assert (tmp_path / "var" / "idp.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700
    assert "already" in bare_idp("migrate").out
    assert bare_idp("client", "create", *WEB).code == 0


def test_a_database_that_cannot_be_made_is_refused(
    bare_idp: Idp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("IDP_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/file/idp.db")
    _assert_refused(bare_idp("migrate"), "cannot be created")


@pytest.mark.parametrize("command", [("migrate",), ("client", "list")])
def test_a_database_that_does_not_answer_is_refused(
    bare_idp: Idp, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("IDP_DATABASE_URL", "postgresql+asyncpg://postgres@127.0.0.1:1/idp")
    _assert_refused(bare_idp(*command), "the database cannot be used")


@pytest.mark.parametrize("command", [("migrate",), ("client", "list")])
def test_a_wrong_database_name_is_refused(
    bare_idp: Idp, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("IDP_DATABASE_URL", postgresql_url + "_nope")
    _assert_refused(bare_idp(*command), "the database cannot be used")


def test_commands_work_on_postgresql(
    bare_idp: Idp, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDP_DATABASE_URL", postgresql_url)
    client_id = bare_idp("client", "create", *WEB, "--json").json["client_id"]
    assert bare_idp("client", "rotate-secret", client_id, "--overlap", "1h").code == 0
    assert client_id in bare_idp("client", "list").out


def test_faulty_settings_are_named_in_one_line(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_ISSUER", "nope")
    monkeypatch.setenv("IDP_SIGNUP", "maybe")
    _assert_refused(idp("client", "list"), "IDP_SIGNUP")


def test_the_settings_file_is_the_one_that_is_named(bare_idp: Idp, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text(f'database_url = "sqlite+aiosqlite:///{tmp_path}/other.db"\n')
    assert bare_idp("--config", str(file), "migrate").code == 0
    assert (tmp_path / "other.db").is_file()
    _assert_refused(bare_idp("--config", "nope.toml", "client", "list"), "nope.toml")


def test_the_command_runs_as_a_process_and_keeps_its_output_clean(sqlite_url: str, tmp_path: Path) -> None:
    root = Path(cli.__file__).parents[2]
    environment = {"IDP_DATABASE_URL": sqlite_url, "PYTHONPATH": str(root), "LC_ALL": "C"}
    arguments = ("client", "create", "--name", "Café 日本", "--redirect-uri", CALLBACK, "--json")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "idp", *arguments],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["client_name"] == "Café 日本"
    assert done.stderr == ""


def _assert_refused(outcome: Outcome, reason: str) -> None:
    assert outcome.code == 1
    assert outcome.out == ""
    assert reason in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("idp: ")
