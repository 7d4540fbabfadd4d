from __future__ import annotations

import re

from recpipe.access import tokens


def test_a_token_looks_like_ours_to_a_secret_scanner() -> None:
    made = {tokens.new_token() for _ in range(100)}

    assert len(made) == 100
    assert all(re.fullmatch(r"rp_[0-9A-Za-z]{33}", token) and tokens.well_formed(token) for token in made)


def test_a_single_wrong_character_anywhere_is_noticed() -> None:
    token = tokens.new_token()
    for place in range(len(token)):
        other = "A" if token[place] != "A" else "B"
        assert not tokens.well_formed(token[:place] + other + token[place + 1 :])


def test_other_text_is_no_token() -> None:
    for text in (
        "",
        "rp_",
        "rp_" + "0" * 33,
        "rp_" + "é" * 33,
        tokens.new_token() + " ",
        "gh" + tokens.new_token()[2:],
    ):
        assert not tokens.well_formed(text)


def test_what_is_shown_leaves_128_bits_hidden() -> None:
    hidden = 27 - (tokens.SHOWN_CHARACTERS - len(tokens.TOKEN_PREFIX))
    assert 62**hidden > 2**128
