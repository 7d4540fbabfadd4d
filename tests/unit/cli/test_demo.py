from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recpipe.cli import demo
from recpipe.cli.demo import Doors
from recpipe.errors import SettingsInvalid
from recpipe.settings import Settings
from tests.unit.cli.conftest import Cli


def doors(ftp: tuple[str, int], http: str = "http://127.0.0.1:8080", **settings: Any) -> Doors:
    return Doors.of(Settings(**settings), SimpleNamespace(ftp_address=ftp, http_url=http))  # type: ignore[arg-type]


def test_without_variables_only_this_machine_reaches_it(tmp_path: Path) -> None:
    settings = demo.settings_for(tmp_path)
    assert settings.http_listen.startswith("127.0.0.1:")
    assert settings.ftp_listen.startswith("127.0.0.1:")
    assert settings.log_level == "error"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_listen", "0.0.0.0:18080"),
        ("ftp_listen", "[::]:12121"),
        ("http_url", "https://demo.example.com"),
        ("ftp_passive_ports", "30000-30100"),
        ("ftp_masquerade_address", "192.0.2.7"),
        ("log_level", "debug"),
    ],
)
def test_what_variables_say_of_doors_and_logs_is_heeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"RECPIPE_{name.upper()}", value)
    assert getattr(demo.settings_for(tmp_path), name) == value


def test_nothing_is_kept_outside_the_folder_and_a_person_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECPIPE_DATABASE_URL", "postgresql+psycopg://db.example/recpipe")
    monkeypatch.setenv("RECPIPE_STORE_URL", "s3://recordings")
    monkeypatch.setenv("RECPIPE_DATA_DIR", "/var/lib/recpipe")
    settings = demo.settings_for(tmp_path)
    assert settings.database == f"sqlite:///{tmp_path}/data/recpipe.sqlite3"
    assert settings.store == f"file://{tmp_path}/data/objects"
    assert demo.set_aside() == ["RECPIPE_DATA_DIR", "RECPIPE_DATABASE_URL", "RECPIPE_STORE_URL"]


def test_a_misspelt_variable_is_refused_before_an_earlier_demo_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo.prepare_folder(tmp_path)
    (tmp_path / "earlier").touch()
    monkeypatch.setenv("RECPIPE_HTTP_LISTN", "0.0.0.0:8080")
    with pytest.raises(SettingsInvalid, match="Did you mean RECPIPE_HTTP_LISTEN"):
        demo.run(tmp_path, as_json=True)
    assert (tmp_path / "earlier").exists()


@pytest.mark.parametrize("option", ["--config", "--data-dir"])
def test_options_that_a_demo_cannot_heed_are_refused(cli: Cli, option: str) -> None:
    assert "leave out --config and --data-dir" in cli.run(option, "elsewhere", "demo", code=2).err


@pytest.mark.parametrize("every", ["0.0.0.0", "::", ""])
def test_what_listens_everywhere_is_shown_under_an_address_of_this_machine(every: str) -> None:
    host = f"[{every}]" if ":" in every else every
    shown = doors((every, 2121), http_listen=f"{host}:8080")
    assert shown.ftp.removesuffix(":2121") not in ("", host)
    assert shown.http == f"http://{shown.ftp.removesuffix(':2121')}:8080"


def test_what_people_are_told_to_use_wins() -> None:
    told = {"http_url": "https://demo.example.com", "ftp_masquerade_address": "192.0.2.7"}
    shown = doors(("0.0.0.0", 2121), "https://demo.example.com", http_listen="0.0.0.0:8080", **told)
    assert (shown.http, shown.ftp) == ("https://demo.example.com", "192.0.2.7:2121")


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert doors(("::1", 2121)).ftp == "[::1]:2121"


def test_curl_is_told_to_encrypt_where_the_gateway_asks_for_it() -> None:
    assert doors(("127.0.0.1", 2121)).ftp_options == ""
    assert doors(("127.0.0.1", 2121), ftp_require_tls=True).ftp_options == "--ssl-reqd -k"
