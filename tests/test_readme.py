"""The README holds to what is there: files, settings with their defaults, commands, its program."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[1]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")
_DEFAULTS: dict[str, Any] = tomllib.loads(  # Any: TOML is of many types.
    (_ROOT / "config" / "idp.toml").read_text(encoding="utf-8")
)
_GUIDES = ["README.md", "docs/validating-tokens.md"]
_ROWS = re.findall(r"^\| `(IDP_\w+)` \| (?:`([^`]+)`|none[^|]*) \|", _README, re.MULTILINE)


@pytest.mark.parametrize("guide", _GUIDES)
def test_every_link_leads_to_a_file(guide: str) -> None:
    page = _ROOT / guide
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]
    assert links
    assert missing == []


@pytest.mark.parametrize(("variable", "default"), _ROWS)
def test_each_setting_is_one_and_has_that_default(variable: str, default: str) -> None:
    values = _DEFAULTS
    *sections, name = variable.removeprefix("IDP_").lower().split("__")
    for section in sections:
        values = values[section]
    assert str(values.get(name) or "") == default


def test_the_settings_that_come_first_are_all_checked() -> None:
    assert len(_ROWS) == _README.count("| `IDP_")


def test_the_python_program_is_a_short_form_of_the_guides() -> None:
    found = re.search(r"```python\n(.*?)```", _README, re.DOTALL)
    assert found
    for check in ('algorithms=["RS256"]', "issuer=", "audience=", "at+jwt", '"exp"'):
        assert check in found[1]
    compile(found[1], "README.md", "exec")
