"""Every command of docs/ftp.md is run, as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.integration.ftp_world import DAY, PASSWORD, ftp_world
from tests.services.certificates import KeyPair
from tests.services.need import tool

DOCUMENT = Path(__file__).parents[2] / "docs/ftp.md"
COMMANDS = re.findall(r"```sh\n(.*?)\n```", DOCUMENT.read_text(), re.DOTALL)


def test_every_command_of_the_document_works(key_pair: KeyPair, tmp_path: Path) -> None:
    with ftp_world(tmp_path / "server", key_pair) as world:
        for name in ("lftp", "curl", "openssl", "sha256sum"):
            tool(name)
        home = tmp_path / "home"
        home.mkdir()
        # lftp and curl trust what the system does: the first lftp command of the document uses no TLS at all then.
        (home / ".lftprc").write_text("set ssl:verify-certificate no\nset net:max-retries 1\nset cmd:fail-exit yes\n")
        shutil.copyfile(key_pair.key_path, home / "myprivatekey.pem")
        (home / "in-201-0201.wav").write_bytes(b"RIFF" * 1000)
        (home / "large.wav").write_bytes(world.contents[f"{DAY}/large.wav"][:1000])
        env = os.environ | {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOST": "127.0.0.1",
            "PORT": str(world.port),
            "USER_NAME": "acme",
            "UPLOAD_USER": "pbx",
            "PASSWORD": PASSWORD,
        }
        assert len(COMMANDS) == 13
        for command in COMMANDS:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=home,
                env=env,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        for path, content in world.contents.items():
            assert (home / "recordings" / path[1:]).read_bytes() == content
        assert (home / "one.wav").read_bytes() == world.contents[f"{DAY}/one.wav"]
        assert (home / "large.wav").read_bytes() == world.contents[f"{DAY}/large.wav"]
        assert (home / "sealed.wav").read_bytes() == world.plain[f"{DAY}/sealed.wav.enc"]
        assert (world.spool / "2025/03/27/in-201-0201.wav").read_bytes() == b"RIFF" * 1000
