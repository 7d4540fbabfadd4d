"""Signing in where one's company does, at a real OpenID provider over TLS, and with a passkey: in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from recpipe.access.principal import operator
from recpipe.model import Role
from tests.acceptance.portal import ADMIN, PASSWORD, Portal, enter, free_port, portal
from tests.services.browser import Complaints, NewPage
from tests.services.certificates import KeyPairs
from tests.services.issuer import Issuer, Person, loopback_pair, serve_issuer

# Milliseconds. A script waits for what the server hashes, and no navigation says that it does.
PATIENCE = 60_000
AXE = Path(__file__).parents[1] / "browser" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def issuer(key_pairs: KeyPairs) -> Iterator[Issuer]:
    with serve_issuer(loopback_pair(key_pairs)) as made:
        yield made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer, key_pairs: KeyPairs) -> Iterator[Portal]:
    """northwind has a provider, and carl is of it."""
    port = free_port()
    settings = {
        "http_listen": f"127.0.0.1:{port}",
        "http_url": f"http://localhost:{port}",  # browsers make no passkeys for an address
        "oidc_networks": ["127.0.0.0/8"],
        "oidc_ca_file": str(loopback_pair(key_pairs).certificate_path),
    }
    with portal(tmp_path_factory.mktemp("elsewhere"), **settings) as made:
        made.user("carl", Role.CLIENT, {made.northwind.id: []})
        set_up = made.parts.identity_providers.set
        provider = set_up(operator("test"), made.northwind.id, issuer.url, "recpipe", client_secret="s3cret")
        issuer.client("recpipe", made.parts.federation.redirect_uri(provider), "s3cret")
        yield made


def is_clean(page: Page) -> None:
    """Nothing that axe finds, and no sideways scroll on a phone."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document).then((r) => r.violations.map((v) => `${v.id}: ${v.nodes[0].html}`))")
    assert found == [], page.url
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    page.set_viewport_size({"width": 1280, "height": 720})


def test_who_links_the_account_with_the_password_signs_in_there(
    running: Portal, issuer: Issuer, new_page: NewPage, complaints: Complaints
) -> None:
    complaints.expect("status of (403|404|503)")
    issuer.person = Person("sub-carl", "carl@northwind.example")
    carl = new_page(ignore_https_errors=True)
    way = f"{running.parts.settings.http_url}/sign-in?next=%2Fcompleteness"

    # Given somebody of the company whom nobody linked yet
    carl.goto(way)
    is_clean(carl)
    carl.get_by_role("link", name="Sign in with your company").click()
    carl.get_by_label("Short name of your service").fill("nowhere")
    carl.get_by_role("button", name="Go on").click()
    expect(carl.locator("#problem")).to_contain_text("No service of this name")
    is_clean(carl)
    carl.get_by_label("Short name of your service").fill("northwind")
    carl.get_by_role("button", name="Go on").click()
    is_clean(carl)
    carl.get_by_role("link", name="Continue to 127.0.0.1").click()
    carl.get_by_role("button", name="Allow").click()
    expect(carl.locator("#problem")).to_contain_text("link it under My Account")
    assert carl.url.startswith(running.parts.settings.http_url)

    # When they sign in with their password and link it
    enter(carl, running, "carl", running.parts.settings.http_url)
    carl.goto(f"{running.parts.settings.http_url}/account")
    section = carl.get_by_role("region", name="Sign in with your company")
    section.get_by_label("Your own password").fill("not this one at all")
    section.get_by_role("button", name="Link").click()
    expect(carl.locator("#problem")).to_contain_text("Nothing was changed")
    section.get_by_label("Your own password").fill(PASSWORD)
    section.get_by_role("button", name="Link").click()
    is_clean(carl)
    carl.get_by_role("link", name="Continue to 127.0.0.1").click()
    carl.get_by_role("button", name="Allow").click()
    expect(carl.get_by_text("From now on you can sign in there as well")).to_be_visible()
    expect(section).to_contain_text("carl@northwind.example")
    is_clean(carl)

    # Then they are signed in from there, where they wanted to be
    carl.get_by_role("button", name="Sign out").click()
    carl.goto(way)
    carl.get_by_role("link", name="Sign in with your company").click()
    carl.get_by_label("Short name of your service").fill("northwind")
    carl.get_by_role("button", name="Go on").click()
    carl.get_by_role("link", name="Continue to 127.0.0.1").click()
    carl.get_by_role("button", name="Allow").click()
    expect(carl.get_by_role("button", name="Sign out")).to_be_visible()
    assert carl.url == f"{running.parts.settings.http_url}/completeness"
    cookies = {c["name"]: c for c in carl.context.cookies(running.parts.settings.http_url)}
    assert "recpipe_oidc" not in cookies
    assert (cookies["recpipe_session"]["httpOnly"], cookies["recpipe_session"]["sameSite"]) == (True, "Lax")

    # And while the provider is down, the page says so
    issuer.down = True
    carl.get_by_role("button", name="Sign out").click()
    carl.goto(f"{running.parts.settings.http_url}/sign-in/oidc?service=northwind")
    carl.get_by_role("link", name="Continue to 127.0.0.1").click()
    carl.get_by_role("button", name="Allow").click()
    expect(carl.locator("#problem")).to_contain_text("127.0.0.1 could not be asked")
    issuer.down = False


def test_an_invitation_that_names_the_provider_needs_no_password(
    running: Portal, issuer: Issuer, new_page: NewPage
) -> None:
    issuer.person = Person("sub-dora")
    ann = new_page()
    enter(ann, running, ADMIN, running.parts.settings.http_url)
    ann.goto(f"{running.parts.settings.http_url}/users/new")
    ann.get_by_label("E-mail address or user name").fill("dora")
    ann.get_by_label("Signs in with").select_option(label="Northwind Bicycles (127.0.0.1)")
    ann.get_by_role("checkbox", name="Northwind Bicycles", exact=True).check()
    ann.get_by_label("Your own password").fill(PASSWORD)
    is_clean(ann)
    ann.get_by_role("button", name="Create and invite").click()
    link = ann.locator("#link").inner_text()
    assert link.startswith(f"{running.parts.settings.http_url}/welcome/oidc#")

    dora = new_page(ignore_https_errors=True)
    dora.goto(link)
    is_clean(dora)
    dora.get_by_role("button", name="Go on").click()
    dora.get_by_role("link", name="Continue to 127.0.0.1").click()
    dora.get_by_role("button", name="Allow").click()
    expect(dora.get_by_role("button", name="Sign out")).to_be_visible()
    expect(dora.get_by_text("dora").first).to_be_visible()


def test_an_administrator_sets_one_up_with_the_own_password(
    running: Portal, issuer: Issuer, new_page: NewPage, complaints: Complaints
) -> None:
    complaints.expect("status of (401|403|422|503)")
    ann = new_page()
    enter(ann, running, ADMIN, running.parts.settings.http_url)
    ann.goto(f"{running.parts.settings.http_url}/services")
    ann.get_by_role("link", name="Identity Providers").click()
    expect(ann.get_by_role("row", name="Northwind Bicycles")).to_contain_text(issuer.url)
    ann.goto(f"{running.parts.settings.http_url}/identity-providers?service=globex")
    form = ann.get_by_role("region", name="Set up the provider of Globex")
    form.get_by_label("Issuer").fill(issuer.url)
    form.get_by_label("Client id").fill("globex-portal")
    form.get_by_label("Client secret").fill("s3cret too")
    form.get_by_label("counts for").select_option("both")
    is_clean(ann)
    # Not without the password; what was typed stays, but for secrets
    form.get_by_label("Your own password").fill("not this one at all")
    form.get_by_role("button", name="Save").click()
    expect(ann.locator("#problem")).to_contain_text("is not yours")
    expect(form.get_by_label("Client id")).to_have_value("globex-portal")
    expect(form.get_by_label("Client secret")).to_have_value("")
    form.get_by_label("Client secret").fill("s3cret too")
    form.get_by_label("Your own password").fill(PASSWORD)
    form.get_by_role("button", name="Save").click()
    expect(ann.get_by_role("row", name="Globex")).to_contain_text("both factors")
    made = running.parts.identity_providers.of(operator("test"), running.globex.id)
    assert made is not None and made.client_secret
    expect(ann.get_by_text(running.parts.federation.redirect_uri(made))).to_be_visible()
    is_clean(ann)
    # An issuer that does not answer is not kept
    change = ann.get_by_role("region", name="Change the provider of Globex")
    change.get_by_label("Issuer").fill("https://127.0.0.1:9/nobody")
    change.get_by_label("Your own password").fill(PASSWORD)
    change.get_by_role("button", name="Save").click()
    expect(ann.locator("#problem")).to_be_visible()
    assert running.parts.identity_providers.of(operator("test"), running.globex.id) == made
    # Removed, by the password as well; the log knows all of it
    ann.on("dialog", lambda dialog: dialog.accept())
    gone = ann.get_by_role("region", name="Remove")
    gone.get_by_label("Your own password").fill(PASSWORD)
    gone.get_by_role("button", name="Remove").click()
    expect(ann.get_by_role("row", name="Globex")).to_have_count(0)
    assert running.parts.identity_providers.of(operator("test"), running.globex.id) is None
    with running.parts.catalogue.read() as work:
        done = [e.action for e in work.audit.list().items if e.subject == made.id]
    assert done == ["identity-provider.remove", "identity-provider.set"]


# --- passkeys -------------------------------------------------------------------------------------------------


def test_a_passkey_is_added_asked_for_behind_the_password_and_enough_alone(
    running: Portal, new_page: NewPage, complaints: Complaints
) -> None:
    complaints.expect("status of 403")
    # Given Chromium with a security key that asks who holds it
    running.user("eve", Role.CLIENT, {running.northwind.id: []})
    eve = new_page()
    devices = eve.context.new_cdp_session(eve)
    devices.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    made = {**key, "isUserVerified": True, "automaticPresenceSimulation": True}
    device = devices.send("WebAuthn.addVirtualAuthenticator", {"options": made})["authenticatorId"]
    url = running.parts.settings.http_url
    enter(eve, running, "eve", url)

    # When she adds it: the password first
    eve.goto(f"{url}/account")
    section = eve.get_by_role("region", name="Passkeys")
    section.get_by_label("Name of the new one").fill("My laptop")
    section.get_by_label("Your own password").fill("not this one at all")
    section.get_by_role("button", name="Add a passkey").click()
    expect(section.get_by_role("alert")).to_contain_text("is not yours", timeout=PATIENCE)
    section.get_by_label("Your own password").fill(PASSWORD)
    is_clean(eve)
    section.get_by_role("button", name="Add a passkey").click()
    expect(eve.get_by_role("heading", name="recovery codes")).to_be_visible(timeout=PATIENCE)
    assert len(devices.send("WebAuthn.getCredentials", {"authenticatorId": device})["credentials"]) == 1
    eve.goto(f"{url}/account")
    expect(section).to_contain_text("My laptop")
    is_clean(eve)

    # Then her password alone does not sign in, and with the key it does
    eve.get_by_role("button", name="Sign out").click()
    eve.get_by_label("User name").fill("eve")
    eve.get_by_label("Password").fill(PASSWORD)
    eve.get_by_role("button", name="Sign in", exact=True).click()
    expect(eve.get_by_role("button", name="Use a passkey")).to_be_visible(timeout=PATIENCE)
    is_clean(eve)
    eve.get_by_role("button", name="Use a passkey").click()
    expect(eve.get_by_role("button", name="Sign out")).to_be_visible(timeout=PATIENCE)

    # And the key alone, to where she wanted to be
    eve.get_by_role("button", name="Sign out").click()
    eve.goto(f"{url}/sign-in?next=%2Fcompleteness")
    eve.get_by_role("button", name="Sign in with a passkey").click()
    expect(eve.get_by_role("button", name="Sign out")).to_be_visible(timeout=PATIENCE)
    assert eve.url == f"{url}/completeness"
    used = devices.send("WebAuthn.getCredentials", {"authenticatorId": device})["credentials"][0]["signCount"]
    with running.parts.catalogue.read() as work:
        (kept,) = work.passkeys.list(work.users.by_username("eve").id)
    assert kept.sign_count == used

    # But not where it does not ask who holds it
    devices.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    eve.get_by_role("button", name="Sign out").click()
    eve.get_by_role("button", name="Sign in with a passkey").click()
    expect(eve.get_by_role("alert")).to_contain_text("No passkey was used", timeout=PATIENCE)
