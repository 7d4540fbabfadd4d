"""A tenant's whole first day in a browser, from registering to opening a call with openssl."""

from __future__ import annotations

import ftplib
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from recpipe import samples
from recpipe.mail import Mailer
from tests.acceptance.portal import (
    ADMIN,
    PASSWORD,
    PLAYING,
    Portal,
    app_code,
    choose_key,
    code_in_challenge,
    documented_decrypt,
    enter,
    openssl,
    portal,
    sign_in,
    until,
)
from tests.services.browser import Complaints, NewPage
from tests.services.mail import Mailbox

BEA = "bea@northwind.example"


@pytest.fixture
def running(tmp_path: Path, mailer: Mailer) -> Iterator[Portal]:
    with portal(tmp_path, mailer) as made:
        yield made


def link_in_letter(mailbox: Mailbox, running: Portal, to: str) -> str:
    """The link in the letter to an address, on the port where the portal is really reached."""
    deadline = time.monotonic() + 15
    while not (found := [letter for recipients, letter in mailbox.letters if recipients == [to]]):
        assert time.monotonic() < deadline, "no letter came"
        time.sleep(0.02)
    text = found[-1].get_payload(decode=True)
    assert isinstance(text, bytes)
    link = re.search(r"http://[^/]+(/\S+#\S+)", text.decode())
    assert link is not None
    mailbox.letters.clear()
    return running.url + link[1]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_tenant_goes_from_registering_to_a_call_opened_with_openssl(
    running: Portal, mailbox: Mailbox, new_page: NewPage, complaints: Complaints
) -> None:
    complaints.expect(r"status of (409|422)")  # what she does wrong on purpose
    bea = new_page(accept_downloads=True)

    # Given Bea, who registers and proves her address
    bea.goto(f"{running.url}/register")
    bea.get_by_label("E-mail address").fill(BEA)
    bea.get_by_label("Your name").fill("Bea Baker")
    bea.get_by_role("button", name="Register").click()
    expect(bea.get_by_text("A letter is on its way")).to_be_visible()
    bea.goto(link_in_letter(mailbox, running, BEA))
    bea.get_by_role("button", name="This is my address").click()
    expect(bea.get_by_text("An administrator looks at your registration")).to_be_visible()

    # When an administrator approves her for her company's service
    ann = new_page()
    sign_in(ann, running, ADMIN)
    ann.get_by_role("link", name="Portal Users").click()
    ann.get_by_role("link", name=f"Approve {BEA}").click()
    ann.get_by_label("Northwind Bicycles").check()
    ann.get_by_label("Your own password").first.fill(PASSWORD)
    ann.get_by_role("button", name="Approve and invite").click()
    expect(ann.get_by_text("A letter with this link is on its way")).to_be_visible()

    # Then she chooses her password by a link, sets up two-factor sign-in, and signs in with it
    bea.goto(link_in_letter(mailbox, running, BEA))
    bea.get_by_label("Password", exact=True).fill(PASSWORD)
    bea.get_by_label("The same password again").fill(PASSWORD)
    bea.get_by_role("button", name="Set the password").click()
    sign_in(bea, running, BEA)
    bea.get_by_role("link", name="My Account").click()
    bea.get_by_role("button", name="Set it up").click()
    secret = bea.locator("#totp-secret").inner_text()
    bea.get_by_label("six digits").fill(app_code(secret))
    bea.get_by_label("Your password").fill(PASSWORD)
    bea.get_by_role("button", name="Switch it on").click()
    expect(bea.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    expect(bea.locator("#codes li")).to_have_count(10)
    with bea.expect_download() as codes:
        bea.get_by_role("button", name="Download").click()
    assert Path(codes.value.path()).read_text().split() == bea.locator("#codes li").all_inner_texts()
    bea.get_by_role("button", name="Sign out").click()
    sign_in(bea, running, BEA, secret, step=1)  # the code of this half minute was used

    agree_and_save(bea)
    key = paste_and_prove(bea, running)
    apply_everything(bea)
    user, password = set_ftp_credentials(bea)

    # When three real calls end
    sound = samples.paths()["order-inquiry.wav"]
    dropped = running.drop("order-inquiry.wav", by="02079460958")
    running.drop("invoice-request.mp3", to="202", by="02079460777", ago=20)
    running.drop("opening-hours-alaw.wav", kind="out", to="02079460842", by="203", ago=40)
    assert all(recording.sealed for recording in running.recordings(3))

    # Then she finds one by its last four digits, as she types
    bea.get_by_role("navigation", name="Main").get_by_role("link", name="Call Recordings").first.click()
    expect(bea.locator("#results tr[data-recording]")).to_have_count(3)
    bea.get_by_label("Find", exact=True).press_sequentially("0958", delay=30)
    expect(bea.locator("#results tr[data-recording]")).to_have_count(1)
    expect(bea).to_have_url(f"{running.url}/recordings?find=0958")

    # And plays it with her key, seeks in it, and saves it as it was
    play_seek_and_save(bea, key, running, sound)

    # And the same call comes over FTP and opens with openssl
    enc = fetch_by_ftp(running, user, password, f"{dropped}.enc")
    documented_decrypt(enc, running.home / "opened.wav", key)
    recording = next(r for r in running.recordings(3) if r.name == f"{dropped}.enc")
    assert_same_sound(running.home / "opened.wav", sound)
    assert (running.home / "saved.wav").read_bytes() == (running.home / "opened.wav").read_bytes()
    assert recording.facts.caller == "02079460958"


def agree_and_save(page: Page) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Configure Add-ons").click()
    page.get_by_label("Record calls").check()
    page.locator("form[action='/addons/recording']").get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("the disclaimer is agreed to")
    page.get_by_label("I agree").check()
    page.get_by_label("Record calls").check()
    page.locator("form[action='/addons/recording']").get_by_role("button", name="Save").click()
    expect(page.get_by_text("It takes effect when you press Apply")).to_be_visible()
    expect(page.get_by_text(re.compile(f"The disclaimer was agreed to by .*{BEA}"))).to_be_visible()


def paste_and_prove(page: Page, running: Portal) -> Path:
    """The certificate made with openssl req, the challenge opened with openssl smime."""
    key, certificate = running.key_pair()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or ""))

    # A private key pasted by mistake does not even leave the page
    page.get_by_label("Contents of mypublickey.pem").fill(key.read_text())
    expect(page.get_by_text("That was a private key. It was not sent")).to_be_visible()
    expect(page.get_by_label("Contents of mypublickey.pem")).to_have_value("")
    assert not any("PRIVATE" in body for body in sent)

    page.get_by_label("Contents of mypublickey.pem").fill(certificate.read_text())
    expect(page.get_by_text("This can be used.")).to_be_visible()
    expect(page.get_by_text("RSA, 2048 bits")).to_be_visible()
    page.get_by_label("Label").fill("office")
    page.get_by_role("button", name="Add this certificate").click()

    with page.expect_download() as download:
        page.get_by_role("button", name="Download challenge.enc").click()
    download.value.save_as(running.home / "challenge.enc")
    page.get_by_label("Paste the code").fill("AAAA-AAAA-AAAA-AAAA-AAAA-AAAA")
    page.get_by_role("button", name="Prove", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="not the code")).to_be_visible()
    page.get_by_label("Paste the code").fill(code_in_challenge(running.home, key))
    page.get_by_role("button", name="Prove", exact=True).click()
    expect(page.get_by_text("The private key is proven.")).to_be_visible()

    page.get_by_label("Enable call recording encryption").check()
    page.locator("form[action='/addons/encryption']").get_by_role("button", name="Save").click()
    return key


def apply_everything(page: Page) -> None:
    page.get_by_role("link", name="View PBX Changes").first.click()
    expect(page.locator("ins")).to_have_count(2)
    page.get_by_role("button", name="Apply all 2 changes").click()
    expect(page.get_by_text("Applied. The changes are in effect.")).to_be_visible()
    page.get_by_role("link", name="Change History").first.click()
    expect(page.get_by_text(f"Applied by {BEA}")).to_have_count(2)


def set_ftp_credentials(page: Page) -> tuple[str, str]:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Call Recordings").last.click()
    page.get_by_label("User name").fill("northwind")
    page.get_by_label("Your own password").fill(PASSWORD)
    page.get_by_role("button", name="Create").click()
    return "northwind", page.locator("#ftp-password").inner_text()


def play_seek_and_save(page: Page, key: Path, running: Portal, sound: Path) -> None:
    page.locator("#results").get_by_role("button", name="Play").click()
    expect(page.get_by_text("This recording is sealed. Choose your private key")).to_be_visible()
    page.get_by_label("Choose private key file").set_input_files(key)
    until(page, PLAYING)
    expect(page.get_by_text("every byte is the same")).to_be_visible()

    page.get_by_label("Position in the recording").press("PageUp")
    page.get_by_label("Position in the recording").press("ArrowLeft")
    at = page.evaluate("document.getElementById('audio').currentTime")
    assert at > 5
    page.get_by_role("button", name="−10 s").click()
    assert page.evaluate("document.getElementById('audio').currentTime") < at

    with page.expect_download() as download:
        page.get_by_role("button", name="Save decrypted").click()
    download.value.save_as(running.home / "saved.wav")
    assert_same_sound(running.home / "saved.wav", sound)


def assert_same_sound(saved: Path, original: Path) -> None:
    """Tags were added, the sound is the same sample by sample."""
    import soundfile

    assert soundfile.read(saved, dtype="int16")[0].tobytes() == soundfile.read(original, dtype="int16")[0].tobytes()


def fetch_by_ftp(running: Portal, user: str, password: str, name: str) -> Path:
    assert running.running.ftp_address is not None
    body = io.BytesIO()
    with ftplib.FTP() as ftp:
        ftp.connect(*running.running.ftp_address, timeout=20)
        ftp.login(user, password)
        day = next(r.day for r in running.recordings(3) if r.name == name)
        ftp.cwd("/" + day.replace("-", "/"))
        ftp.retrbinary(f"RETR {name}", body.write)
    target = running.home / name
    target.write_bytes(body.getvalue())
    return target


@pytest.mark.slow
def test_a_key_is_proved_in_the_browser_and_a_stranger_key_is_not(running: Portal, new_page: NewPage) -> None:
    # Given a certificate that owes its proof
    page = new_page()
    sent: list[str] = []
    enter(page, running, ADMIN)
    key, certificate = running.key_pair()
    stranger, _ = running.key_pair("stranger")
    page.goto(f"{running.url}/addons?service=globex")
    page.on("request", lambda request: sent.append((request.post_data_buffer or b"").decode("latin-1")))
    pfx, cer = running.home / "my.pfx", running.home / "my.cer"
    made = ("pkcs12", "-export", "-inkey", key, "-in", certificate, "-out", pfx, "-passout", f"pass:{PASSWORD}")
    openssl(*made)
    openssl("x509", "-in", certificate, "-outform", "DER", "-out", cer)

    # The PFX is known for what it is, and not sent; the certificate of it is wanted
    page.get_by_label("Certificate file").set_input_files(pfx)
    expect(page.get_by_text("my.pfx is a PKCS#12 with a private key inside, so it was not sent")).to_be_visible()
    assert page.get_by_label("Certificate file").evaluate("(field) => field.files.length") == 0 and not sent
    page.get_by_label("Certificate file").set_input_files(cer)
    expect(page.get_by_text("This can be used.")).to_be_visible()
    page.get_by_role("button", name="Add this certificate").click()

    # When a key that is not its own is chosen, and then the right one
    choose_key(page, stranger)
    expect(page.get_by_role("status").filter(has_text="does not belong to the certificate")).to_be_visible()
    page.get_by_role("button", name="Forget this key").click()
    choose_key(page, pfx)
    page.get_by_label("Passphrase of my.pfx").fill(PASSWORD)
    page.get_by_role("button", name="Unlock").click()

    # Then it is proved, and of the key nothing was sent, nor its password
    expect(page.get_by_text("The private key is proven.")).to_be_visible()
    lines = key.read_text().splitlines()[1:-1]
    assert sent and not any(secret in body for body in sent for secret in (*lines, PASSWORD, "my.pfx"))
    # And encryption can be saved, but not for a service without a key
    page.get_by_label("Enable call recording encryption").check()
    page.locator("form[action='/addons/encryption']").get_by_role("button", name="Save").click()
    expect(page.get_by_text("It takes effect when you press Apply")).to_be_visible()
    page.goto(f"{running.url}/addons?service=northwind")
    expect(page.get_by_label("Enable call recording encryption")).to_be_disabled()
