"""Numbers as PBXs write them and people type them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recpipe.numbers import digits, e164, fewest, meaning


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("030 90182-0", "030901820"),
        ("+49 (30) 901820", "4930901820"),
        ("sip:201@10.0.0.1:5060;user=phone", "201"),
        ('"Room 7" <sip:201@10.0.0.1>', "201"),
        ("SIPS:alice@example.org", ""),
        ("tel:+49-30-901820;ext=7", "4930901820"),
        ("tel:7946-0958;phone-context=+44-20", "442079460958"),
        ("030 901820 ext. 7", "030901820"),
        ("030 901820x7", "030901820"),
        ("201x7", "2017"),
        ("#31#030901820", "030901820"),
        ("*31#+4930901820", "4930901820"),
        ("*80201", "80201"),
        ("*0958", "0958"),
        ("%2B4930901820", "4930901820"),
        ("anonymous", ""),
        ("\N{ARABIC-INDIC DIGIT ONE}\N{SUPERSCRIPT TWO}\N{FULLWIDTH DIGIT THREE}", "13"),
        ("9" * 1000, "9" * 32),
        ("", ""),
    ],
)
def test_digits_are_what_can_be_dialled(raw: str, expected: str) -> None:
    assert digits(raw) == expected


@pytest.mark.parametrize(
    ("raw", "region", "expected"),
    [
        ("020 7946 0958", "GB", "+442079460958"),
        ("020 7946 0958", "", ""),
        ("0044 20 7946 0958", "US", "+442079460958"),
        ("+0044 20 7946 0958", "AU", "+442079460958"),
        ("442079460958", "US", "+442079460958"),
        ("*67 (212) 555-0123", "US", "+12125550123"),
        ("06 6982 0000", "IT", "+390669820000"),
        ("0114 272 6444", "GB", "+441142726444"),
        ("201", "GB", ""),
        ("alice@example.org", "GB", ""),
        ("Bob 02079460958", "GB", ""),
    ],
)
def test_e164_is_added_where_it_is_certain(raw: str, region: str, expected: str) -> None:
    assert e164(raw, region) == expected


def test_every_spelling_of_a_number_means_the_same() -> None:
    spellings = ("020 7946 0958", "+44 20 7946 0958", "0044 20 7946 0958", "+44 (0)20 7946 0958", "442079460958")
    meanings = [meaning(spelling, "GB") for spelling in spellings]
    assert len({tuple(fewest(one.parts, ending=True)) for one in meanings}) == 1
    assert all("442079460958" in one.spellings and "02079460958" in one.national for one in meanings)


def test_a_number_of_another_country_has_no_national_spelling() -> None:
    # +1 207 946 0958 has the national digits of +44 20 7946 0958.
    assert meaning("+44 20 7946 0958", "US").national == frozenset()


@pytest.mark.parametrize(("typed", "begins"), [("020 7", "44207"), ("0044 (0)20 7", "44207"), ("+33 1", "331")])
def test_the_beginning_of_a_number_is_read_as_it_begins_in_e164(typed: str, begins: str) -> None:
    assert meaning(typed, "GB").beginning == begins


@settings(deadline=None)
@given(st.text(st.sampled_from("+*#0123456789()<>@;,.:%2Bx etlsip-\u00a0\uff10"), max_size=40) | st.text(max_size=40))
def test_no_text_confuses_the_reading_of_numbers(raw: str) -> None:
    for region in ("GB", ""):
        assert meaning(raw, region).digits.isascii()
        assert e164(raw, region)[:1] in ("", "+")
    assert all("0" <= c <= "9" for c in digits(raw))
