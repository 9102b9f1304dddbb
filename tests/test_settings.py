import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from idp.settings import Settings, SettingsError, load_settings

_FILE = Path(__file__).parents[1] / "config" / "idp.toml"
_SECTIONS: dict[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _written(folder: Path, text: str) -> Path:
    file = folder / "settings.toml"
    file.write_text(text, encoding="utf-8")
    return file


def _faults(file: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    return str(caught.value)


def _leaves(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields) - set(_SECTIONS)


def test_without_a_file_the_defaults_hold() -> None:
    assert load_settings() == Settings()


def test_the_shipped_file_says_exactly_the_defaults() -> None:
    assert load_settings(_FILE) == Settings()


@pytest.mark.parametrize(("section", "model"), [("", Settings), *_SECTIONS.items()])
def test_the_shipped_file_names_every_setting(section: str, model: type[BaseModel]) -> None:
    text = _FILE.read_text(encoding="utf-8")
    parts = re.split(r"^\[(\w+)\]$", text, flags=re.MULTILINE)
    own = parts[0] if not section else parts[parts.index(section) + 1]

    named = re.findall(r"^(?:# )?([a-z_]+) = ", own, re.MULTILINE)

    assert len(named) == len(set(named))
    assert set(named) == _leaves(model)


def test_only_settings_without_a_default_are_commented_out() -> None:
    text = _FILE.read_text(encoding="utf-8")
    data: dict[str, Any] = tomllib.loads(text)  # Any: TOML holds values of many types.
    models: list[tuple[str, type[BaseModel]]] = [("", Settings), *_SECTIONS.items()]
    silent = {
        name
        for section, model in models
        for name in _leaves(model) - set(data.get(section, {}) if section else data)
    }

    assert silent == {"management_port", "url", "rp_id"}
    assert re.findall(r"^# ([a-z_]+) = ", text, re.MULTILINE) == ["management_port", "url", "rp_id"]


def test_the_shipped_file_explains_every_setting() -> None:
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    assigned = [number for number, line in enumerate(lines) if re.match(r"(?:# )?[a-z_]+ = ", line)]

    assert [lines[number] for number in assigned if not lines[number - 1].startswith("# ")] == []


def test_a_commented_out_example_is_legal_too(tmp_path: Path) -> None:
    text = re.sub(r"^# ([a-z_]+ = )", r"\1", _FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = text.replace("http://localhost:8000", "https://id.example.com")

    settings = load_settings(_written(tmp_path, text))

    assert settings.management_port == 9100
    assert settings.rp_id == "example.com"


def test_the_working_directorys_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "idp.toml").write_text('service_name = "Acme"')

    assert load_settings().service_name == "Acme"


def test_a_variable_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _written(tmp_path, 'service_name = "File"\n[tokens]\ncode_lifetime_seconds = 30\n')
    monkeypatch.setenv("IDP_SERVICE_NAME", "Variable")

    settings = load_settings(file)

    assert (settings.service_name, settings.tokens.code_lifetime_seconds) == ("Variable", 30)


def test_a_sections_variable_changes_one_setting_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _written(tmp_path, "[tokens]\ncode_lifetime_seconds = 30\nid_token_lifetime_seconds = 120\n")
    monkeypatch.setenv("IDP_TOKENS__CODE_LIFETIME_SECONDS", "10")

    tokens = load_settings(file).tokens

    assert (tokens.code_lifetime_seconds, tokens.id_token_lifetime_seconds) == (10, 120)


def test_a_list_comes_from_a_variable_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_TRUSTED_PROXIES", '["10.0.0.0/8", "::1"]')

    assert load_settings().trusted_proxies == ("10.0.0.0/8", "::1")


def test_an_empty_variable_is_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_ISSUER", "")

    assert load_settings().issuer == "http://localhost:8000"


def test_an_override_wins_over_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_LOG_LEVEL", "error")

    assert load_settings(log_level="debug").log_level == "debug"


def test_all_faults_are_told_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _written(
        tmp_path,
        'issuer = "http://id.example.com"\nsignup = "never"\nnonsense = 1\n'
        "[tokens]\ncode_lifetime_seconds = 600\n",
    )
    monkeypatch.setenv("IDP_LOG_LEVEL", "loud")
    monkeypatch.setenv("IDP_ISUER", "https://id.example.com")

    message = _faults(file)

    for name in (
        "issuer (IDP_ISSUER)",
        "signup (IDP_SIGNUP)",
        "nonsense",
        "tokens.code_lifetime_seconds (IDP_TOKENS__CODE_LIFETIME_SECONDS)",
        "log_level (IDP_LOG_LEVEL)",
        "IDP_ISUER: is not a setting",
    ):
        assert name in message


def test_a_fault_does_not_tell_the_value(tmp_path: Path) -> None:
    file = _written(tmp_path, '[smtp]\nurl = ["smtp://user:hunter2@host"]\n')

    assert "hunter2" not in _faults(file)


@pytest.mark.parametrize("name", ["IDP_ISUER", "IDP_TOKEN__CODE_LIFETIME_SECONDS", "IDP_"])
def test_a_misspelt_variable_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")

    assert f"{name}: is not a setting" in _faults()


def test_a_misspelt_variable_of_a_section_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_TOKENS__CODE_LIFETIME", "10")

    assert "IDP_TOKENS__CODE_LIFETIME" in _faults()


@pytest.mark.parametrize(
    "issuer",
    [
        "https://id.example.com",
        "https://id.example.com:8443",
        "http://localhost:8000",
        "http://127.0.0.1",
        "http://[::1]:8000",
    ],
)
def test_a_legal_issuer_is_kept_as_it_is_spelt(issuer: str) -> None:
    assert Settings(issuer=issuer).issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "http://id.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
        "https://id.example.com/",
        "https://id.example.com/idp",
        "https://id.example.com?",
        "https://id.example.com?a=b",
        "https://id.example.com#",
        "https://id.example.com#a",
        "https://user@id.example.com",
        "https://ID.example.com",
        "https://",
        "ftp://id.example.com",
        "id.example.com",
        "HTTPS://id.example.com",
        " https://id.example.com",
        "https://id.example.com:99999",
        "https://id.example.com:",
        "https://id.example.com:443",
        "https://id example.com",
    ],
)
def test_an_illegal_issuer_is_refused(issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_ISSUER", issuer)

    assert "issuer" in _faults()


@pytest.mark.parametrize(
    "url", ["sqlite:///a.db", "postgresql://host/name", "mysql://host/name", "var/idp.db"]
)
def test_an_unsupported_database_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_DATABASE_URL", url)

    assert "database_url" in _faults()


def test_a_proxy_must_be_an_address_or_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_TRUSTED_PROXIES", '["proxy.example.com"]')

    assert "'proxy.example.com' is no address or network" in _faults()


@pytest.mark.parametrize("rate", ["0 per minute", "many", "5", "5 per fortnight", "5/minute"])
def test_a_rate_must_be_one(rate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_RATE_LIMIT__MAIL", rate)

    assert "rate_limit.mail" in _faults()


def test_a_code_lives_a_minute_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_TOKENS__CODE_LIFETIME_SECONDS", "61")

    assert "less than or equal to 60" in _faults()


@pytest.mark.parametrize("rp_id", ["id.example.com", "example.com"])
def test_the_relying_party_id_may_be_the_host_or_a_parent(
    rp_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDP_ISSUER", "https://id.example.com")
    monkeypatch.setenv("IDP_PASSKEYS__RP_ID", rp_id)

    assert load_settings().rp_id == rp_id


@pytest.mark.parametrize("rp_id", ["other.com", "ample.com", "a.id.example.com"])
def test_a_foreign_relying_party_id_is_refused(rp_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_ISSUER", "https://id.example.com")
    monkeypatch.setenv("IDP_PASSKEYS__RP_ID", rp_id)

    assert "passkeys.rp_id must be id.example.com or a parent domain of it" in _faults()


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in _faults(tmp_path / "missing.toml")


def test_a_file_that_is_no_toml_is_told(tmp_path: Path) -> None:
    assert "is not valid TOML" in _faults(_written(tmp_path, "issuer = "))


def test_the_ceremonies_expected_origins_begin_with_the_issuer() -> None:
    settings = Settings(issuer="https://id.example.com", passkeys={"origins": ["https://example.org"]})

    assert settings.expected_origins == ("https://id.example.com", "https://example.org")
    assert settings.is_https
