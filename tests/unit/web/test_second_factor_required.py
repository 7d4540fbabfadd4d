"""Where the operator wants two-factor sign-in of everybody."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path

import httpx

from recpipe import wiring
from recpipe.access import totp
from recpipe.access.principal import operator
from recpipe.model import Role
from recpipe.settings import Settings
from recpipe.web.deps import WebContext
from tests.integration.api import served
from tests.services.sqlite import new_catalogue

PASSWORD = "correct horse battery"


def test_without_a_second_factor_nobody_gets_further_than_setting_it_up(tmp_path: Path) -> None:
    new_catalogue(tmp_path / "recpipe.sqlite3")
    settings = Settings(data_dir=tmp_path, http_second_factor="required")
    with wiring.open_parts(settings) as parts, served(WebContext.of(parts)) as url:
        parts.accounts.create(operator("test"), "ann", Role.ADMINISTRATOR, password=PASSWORD)
        with httpx.Client(base_url=url, trust_env=False, headers={"origin": url}) as browser:
            # Given: somebody signs in with the password alone, twice
            for _ in range(2):
                answer = browser.post("/sign-in", data={"username": "ann", "password": PASSWORD})
                assert answer.status_code == 303, answer.text
            # Then: every page leads to where it is set up, and nothing else is done
            for path in ("/recordings", "/users", "/system", "/audit", "/services"):
                answer = browser.get(path)
                assert answer.headers["location"] == "/account?done=second-factor-required", path
            assert "Set it up here to go on" in browser.get("/account?done=second-factor-required").text
            for path in ("/account/tokens", "/account/password", "/users/new"):
                assert browser.post(path, data={"password": PASSWORD}).status_code == 403, path
            refused = browser.get("/api/v1/me")
            assert (refused.status_code, refused.json()["type"]) == (403, "urn:recpipe:problem:second-factor-required")
            # And: with a second factor the same session opens everything
            page = browser.post("/account/second-factor").text
            found = re.search(r'name="secret" value="([A-Z2-7]+)"', page)
            assert found is not None
            code = totp.code_at(base64.b32decode(found[1]), int(time.time()) // totp.STEP_SECONDS)
            sent = {"secret": found[1], "code": code, "password": PASSWORD}
            assert browser.post("/account/second-factor/confirm", data=sent).status_code == 200
            assert browser.get("/users").status_code == 200
            assert browser.get("/api/v1/me").status_code == 200
            assert browser.post("/sign-out").status_code == 303
