"""Pictures of what lies beside the calls: a voicemail, a conference, a fax; and of a call with a masked part."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Browser, Page, expect

from recpipe import samples
from recpipe.model import Role
from recpipe.settings import Spool
from tests.acceptance.portal import PLAYING, portal, sign_in, until
from tests.services import faxes

BEA = "bea@northwind.example"
_LETTER = """NORTHWIND BICYCLES
Order form

To:     Harbour Wheels Ltd., spare parts
From:   Ben Ashe, workshop

 12 x   inner tube 28"
  4 x   brake pads, front
  1 x   bottom bracket, 68 mm

Please deliver to the workshop entrance by Friday.
"""


def take(browser: Browser, shoot: Callable[[Page, str], None]) -> None:
    """Fill an installation of its own by the layouts of their PBXs, and take three pictures of it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # The first is that of the portal, which makes it.
        kinds = {"spool": "freepbx", "voicemail": "asterisk-voicemail", "rooms": "confbridge", "fax": "fax"}
        for name in tuple(kinds)[1:]:
            (root / name).mkdir()
        spools = tuple(
            Spool.model_validate(
                {"path": root / name, "tenant": "northwind", "layout": layout, "timezone": "UTC", "settle_seconds": 0.2}
            )
            for name, layout in kinds.items()
        )
        with portal(root, spool=spools) as running:
            _fill(root, datetime.now(UTC).replace(microsecond=0))
            running.recordings(5)
            page = browser.new_page(viewport={"width": 1280, "height": 700})
            running.user(BEA, Role.CLIENT, {running.northwind.id: []})
            sign_in(page, running, BEA)
            page.goto(f"{running.url}/recordings")
            expect(page.locator("#results tr[data-recording]")).to_have_count(5)
            shoot(page, "kinds")
            masked = page.locator("#results tr[data-recording]", has_text="Masked").first
            masked.get_by_role("button", name="Play").click()
            until(page, PLAYING)
            page.wait_for_timeout(2000)
            page.locator("#toggle").click()
            shoot(page, "masked")
            page.get_by_role("link", name="View the fax").first.click()
            page.wait_for_timeout(1500)
            shoot(page, "fax")
            page.close()


def _fill(root: Path, now: datetime) -> None:
    def ago(minutes: int) -> datetime:
        return now - timedelta(minutes=minutes)

    sounds = samples.paths()
    message = root / "voicemail/default/202/INBOX/msg0000.wav"
    message.parent.mkdir(parents=True)
    at = int(ago(55).timestamp())
    message.with_suffix(".txt").write_text(
        f'[message]\norigmailbox=202\ncontext=from-trunk\nexten=202\ncallerid="Jo Quinn" <02079460321>\n'
        f"origtime={at}\nmsg_id={at}-00000001\nduration=8\n"
    )
    shutil.copy(sounds["callback-gsm.WAV"], message.with_suffix(".WAV"))
    shutil.copy(sounds["opening-hours-alaw.wav"], root / f"rooms/confbridge-8000-{int(ago(80).timestamp())}.wav")
    across, down = faxes.A4
    page = Image.new("1", (across, 2 * down), 1)
    font = ImageFont.load_default(48)
    ImageDraw.Draw(page).multiline_text((170, 120), _LETTER, fill=0, font=font, spacing=18)
    fax = root / f"fax/northwind.example/204/inbox/02079460777-{ago(20):%Y-%m-%d-%H-%M-%S}.tif"
    fax.parent.mkdir(parents=True)
    page.resize((across, down)).save(fax, "TIFF", compression="group4", dpi=(204, 98))
    for sound, minutes, beside in (
        ("order-inquiry.wav", 4, {"masked": [[4, 8]], "started_by": "202"}),
        ("brake-repair-stereo.wav", 95, {}),
    ):
        began = ago(minutes)
        name = f"in-202-02079460958-{began:%Y%m%d-%H%M%S}-{int(began.timestamp())}.{minutes}.wav"
        (root / "spool" / f"{name}.json").write_text(json.dumps(beside))
        shutil.copy(sounds[sound], root / "spool" / name)
