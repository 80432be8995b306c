"""`docs/inputs.md` is what the tests' lists of cases say."""

import re

import inputs_page
import pytest


@pytest.mark.slow
def test_the_page_is_up_to_date() -> None:
    found = inputs_page.FILE.read_text(encoding="utf-8")
    assert found == inputs_page.page(), "python tests/inputs_page.py writes docs/inputs.md anew"


def test_every_case_is_a_row_of_three_cells() -> None:
    text = inputs_page.FILE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    sections = [parts for _, parts in inputs_page.PAGE.values() if parts]
    expected = sum(len(list(inputs_page.cases(part))) for parts in sections for part in parts)
    assert len(rows) == expected + len(sections)
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 4 for row in rows)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a|b", "`a\\|b`"),
        ("a\r\nb\tc", "`a␊b→c`"),
        (" a", "`  a `"),
        ("`", "`` ` ``"),
        ("\x0b\u2028", "`\\x0b\\x2028`"),
    ],
)
def test_a_cell_holds_whatever_is_in_a_name(text: str, cell: str) -> None:
    assert inputs_page.code(text) == cell
    assert "\n" not in inputs_page.escaped(text)


def test_what_is_not_refused_is_not_told_as_such() -> None:
    with pytest.raises(AssertionError, match="nothing is refused"):
        inputs_page.refusal(lambda: None)
