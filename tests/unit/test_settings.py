from __future__ import annotations

from pathlib import Path

import pytest

from recpipe.errors import SettingsInvalid
from recpipe.settings import Settings, Spool, load, split_listen

DOCUMENT = (Path(__file__).parents[2] / "docs/settings.md").read_text()


@pytest.mark.parametrize(
    ("name", "description"),
    [
        (name, field.description)
        for model in (Settings, Spool)
        for name, field in model.model_fields.items()
        if name != "spool"
    ],
)
def test_every_setting_is_documented_as_it_describes_itself(name: str, description: str) -> None:
    described = description.replace("|", "\\|")
    assert any(row.startswith(f"| `{name}` |") and described in row for row in DOCUMENT.splitlines()), name


def test_a_misspelt_variable_is_an_error_with_a_proposal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECPIPE_DATA_DRI", "/tmp")
    with pytest.raises(SettingsInvalid, match=r"RECPIPE_DATA_DRI is not a setting\. Did you mean RECPIPE_DATA_DIR\?"):
        load()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('data_drr = "x"', "data_drr is not a setting. Did you mean data_dir?"),
        ('[[spool]]\npath = "/x"\ntennant = "a"', "spool.0.tennant is not a setting. Did you mean tenant?"),
        ('[[spool]]\npath = "/x"\ntimezone = "Europe/Berln"', "Did you mean Europe/Berlin"),
        ('[[spool]]\npath = "/x"\nlayout = "generic"', "needs a pattern with named groups"),
        ('[[spool]]\npath = "/x"\nafter = "archive"', 'needs archive = "/a/folder"'),
        ('[[spool]]\npath = "/x"\nafter = "archive"\narchive = "/x/y"', "must lie outside the spool"),
        ('[[spool]]\npath = "/a/x"\n[[spool]]\npath = "/b/x"', "two spools are called 'x'"),
        ('[[spool]]\npath = "/a"\n[[spool]]\npath = "/a/b/../c"', "/a/b/../c lies inside the spool /a"),
        (
            '[[spool]]\npath = "/a"\n[[spool]]\npath = "/b"\nafter = "archive"\narchive = "/a/old"',
            "/a/old lies inside the spool /a",
        ),
        ('security_contact = "security@example.com"', "write mailto:security@example.com"),
        ('security_contact = "https://a.example/\\nContact: tel:+1"', "write mailto:security@example.com"),
        ("data_dir = ", "cannot be read"),
    ],
)
def test_a_mistake_in_the_file_is_explained(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "recpipe.toml"
    file.write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        load(file)
    assert says in str(caught.value)


def test_a_variable_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "recpipe.toml"
    file.write_text('http_listen = "127.0.0.1:1"\nftp_listen = "127.0.0.1:2"')
    monkeypatch.setenv("RECPIPE_HTTP_LISTEN", "127.0.0.1:3")
    settings = load(file)
    assert (settings.http_listen, settings.ftp_listen) == ("127.0.0.1:3", "127.0.0.1:2")


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="There is no configuration file"):
        load(tmp_path / "missing.toml")


def test_secrets_never_print(tmp_path: Path) -> None:
    file = tmp_path / "recpipe.toml"
    file.write_text('database_url = "postgresql+psycopg://u:hunter2@h/d"\ns3_secret_key = "hunter2"\n')
    settings = load(file)
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.database.endswith("hunter2@h/d")


def test_a_bad_secret_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "recpipe.toml"
    file.write_text('s3_secret_key = ["hunter2"]')
    with pytest.raises(SettingsInvalid) as caught:
        load(file)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "address"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), (":21", ("", 21))],
)
def test_addresses_to_listen_on(value: str, address: tuple[str, int]) -> None:
    assert split_listen(value) == address


@pytest.mark.parametrize("value", ["127.0.0.1", "host:http", "host:99999"])
def test_a_bad_address_is_explained(value: str) -> None:
    with pytest.raises(SettingsInvalid, match="such as 127"):
        split_listen(value)
