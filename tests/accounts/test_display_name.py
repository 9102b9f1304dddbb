import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.accounts import display_name
from idp.errors import PageError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ("  Ada \n", "Ada"),
        ("👩🏽‍💻", "👩🏽‍💻"),
        ("👨‍👩‍👧‍👦 Smith", "👨‍👩‍👧‍👦 Smith"),
        ("عائشة", "عائشة"),
        ("می‌خواهم", "می‌خواهم"),
        ("שלום", "שלום"),
        ("Jose\u0301", "Jos\u00e9"),
        ("<b>Ada</b>", "<b>Ada</b>"),
        ("x" * 64, "x" * 64),
    ],
)
def test_names_of_every_kind_are_accepted(text: str, name: str) -> None:
    assert display_name.check(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "x" * 65,
        "x" * 100_000,
        "Ada\nBcc: eve@example.com",
        "Ada\0",
        "A\x1b[31mda",
        "Ada\u202elevoL",
        "Ada\u2066x",
        "Ada\u200b",
        "Ada\u2028Eve",
        "\u200d",
        "\u0301",
        "\ufeff",
        "\ud800",
    ],
)
def test_what_hides_turns_or_breaks_text_is_refused(text: str) -> None:
    with pytest.raises(PageError) as refusal:
        display_name.check(text)
    assert (refusal.value.code, refusal.value.status) == ("invalid_name", 400)


@given(st.text(max_size=200))
def test_any_text_is_judged_and_an_accepted_name_is_stable(text: str) -> None:
    name = display_name.parse(text)
    if name is not None:
        assert 0 < len(name) <= 64
        assert display_name.parse(name) == name
