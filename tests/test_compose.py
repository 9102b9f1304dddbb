import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel

from idp import cli
from idp.settings import Settings, load_settings

_ROOT = Path(__file__).parents[1]
_COMPOSE: dict[str, Any] = yaml.safe_load(
    (_ROOT / "docker-compose.yml").read_text()
)  # Any: YAML is of many types.
_SERVICES: dict[str, dict[str, Any]] = _COMPOSE["services"]
_OURS = {name: service for name, service in _SERVICES.items() if service["image"] == "idp"}
_DOCKERFILE = (_ROOT / "config" / "Dockerfile").read_text()
_CADDYFILE = (_ROOT / "config" / "Caddyfile").read_text()


def _substituted(value: str) -> str:
    """Do as compose does: ${NAME:-default}, and ${NAME:?message} for what must be given."""
    value = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
    return re.sub(r"\$\{\w+:\?[^}]*\}", "given", value)


def _variables_of_image() -> dict[str, str]:
    return dict(re.findall(r"(IDP_\w+)=(\S+)", _DOCKERFILE))


def _is_setting(variable: str) -> bool:
    model: type[BaseModel] = Settings
    *sections, name = variable.removeprefix("IDP_").lower().split("__")
    for section in sections:
        annotation = model.model_fields[section].annotation
        assert isinstance(annotation, type)
        model = annotation
    return name in model.model_fields


@pytest.mark.parametrize("service", _OURS.values(), ids=_OURS)
def test_every_variable_is_a_setting(service: dict[str, Any]) -> None:
    variables = _variables_of_image() | service["environment"]

    assert len(variables) > 5
    assert [name for name in variables if not _is_setting(name)] == []


@pytest.mark.parametrize("service", _OURS.values(), ids=_OURS)
def test_a_node_accepts_what_it_is_given(
    service: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (_variables_of_image() | service["environment"]).items():
        monkeypatch.setenv(name, _substituted(value))

    settings = load_settings()

    assert settings.issuer == "https://localhost"
    assert settings.database_url == "postgresql+asyncpg://idp:given@database/idp"


@pytest.mark.parametrize("service", [*_OURS.values(), None], ids=[*_OURS, "image"])
def test_every_command_is_one(service: dict[str, Any] | None) -> None:
    if service is None:
        found = re.search(r"^CMD (\[.*\])$", _DOCKERFILE, re.MULTILINE)
        assert found
        words = json.loads(found.group(1))
    elif "entrypoint" in service:
        words = service["command"][0].rpartition("idp ")[2].split()
    else:
        words = service["command"]

    command: Any = typer.main.get_command(cli.app)  # Any: a group or a command.
    while hasattr(command, "commands"):
        command = command.commands[words[0]]
        words = words[1:]

    options = {option for parameter in command.params for option in parameter.opts}
    assert [word for word in words if word.startswith("-") and word not in options] == []


def test_the_proxy_alone_is_believed() -> None:
    address = _SERVICES["proxy"]["networks"]["default"]["ipv4_address"]

    assert {service["environment"]["IDP_TRUSTED_PROXIES"] for service in _OURS.values()} == {f'["{address}"]'}


def test_the_proxy_passes_requests_to_the_nodes_alone() -> None:
    upstreams = re.findall(r"(\S+):8000", _CADDYFILE)
    nodes = [name for name, service in _OURS.items() if service["command"][0] == "serve"]

    assert upstreams == nodes == ["idp-1", "idp-2"]
    assert [name for name in nodes if "ports" in _SERVICES[name]] == []


def test_nodes_start_after_the_migration() -> None:
    for name in ("idp-1", "idp-2"):
        assert _SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_our_processes_cannot_gain_privileges_or_write() -> None:
    assert re.findall(r"^USER (\w+)$", _DOCKERFILE, re.MULTILINE) == ["idp"]
    for service in _OURS.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_is_built_from_files_that_are_there_and_not_ignored() -> None:
    sources = [
        source
        for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", _DOCKERFILE, re.MULTILINE)
        for source in copied.split()
    ]
    ignored = (_ROOT / ".dockerignore").read_text().splitlines()

    assert [source for source in sources if not (_ROOT / source).exists()] == []
    assert [source for source in sources if f"!{source}" not in ignored] == []


def test_no_secret_is_written_down() -> None:
    for service in _SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name or "://" in value:
                assert "@" not in value or "${POSTGRES_PASSWORD:?" in value
