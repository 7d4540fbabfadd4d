"""The configuration: one frozen object, built once from `recpipe.toml` and `RECPIPE_*` variables.

A variable wins over the file. Unknown names are errors, because a setting that is misspelt and silently
ignored is how recordings end up unencrypted. Secrets never print.
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from recpipe.errors import SettingsInvalid
from recpipe.setting_types import Color, Contact, Name, Network
from recpipe.times import check_timezone

PREFIX = "RECPIPE_"
DEFAULT_FILE = Path("recpipe.toml")

Layout = Literal[
    "freepbx",
    "fusionpbx",
    "3cx",
    "kazoo",
    "mikopbx",
    "rtpengine",
    "generic",
    "sidecar",
    "asterisk-voicemail",
    "freeswitch-voicemail",
    "confbridge",
    "freeswitch-conference",
    "fax",
]
# The PBX goes on with these files: it plays, moves and deletes them. They stay where they are.
_THE_PBXS_OWN = ("asterisk-voicemail", "freeswitch-voicemail")
# The PBX may go on with these: a conference that is appended to, a fax that is still to be mailed.
_COPIED = (*_THE_PBXS_OWN, "confbridge", "freeswitch-conference", "fax")


class Spool(BaseModel):
    """One folder that a PBX fills. `[[spool]]` in recpipe.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(description="the folder to watch; made when it is missing")
    name: str = Field(
        "", description="short name in logs and listings, unique among all machines; default: the folder's name"
    )
    tenant: str = Field(
        "from-path",
        description='a tenant\'s name, "from-path" (first folder), or "from-facts" (domain, account id)',
    )
    layout: Layout = Field("freepbx", description="how the PBX names its files")
    pattern: str = Field("", description='layout = "generic": a regular expression with named groups')
    timezone: str = Field("UTC", description="IANA zone of the times in file names")
    settle_seconds: float = Field(1.0, ge=0, le=3600, description="how long a file must stand still, at least")
    quiet_seconds: float = Field(
        300.0,
        ge=0,
        le=86400,
        description="how long it must stand still where the kernel cannot say whether its writer has closed it, and "
        "before an empty file counts as empty",
    )
    grace_seconds: float = Field(
        300.0,
        ge=0,
        le=86400,
        description="how long a stored file is kept aside for a last look, where the kernel cannot say that it is closed",
    )
    remote_writers: bool = Field(
        False, description="files are written over a share that this machine exports: go by quiet_seconds"
    )
    formats: Literal["original", "converted", "all"] = Field(
        "original",
        description="which of NAME.wav and NAME.mp3 of one call is stored when both stay: one of them goes with the "
        "other, or all are recordings of their own",
    )
    rescan_seconds: float = Field(10.0, gt=0, le=3600, description="how often the folder is read whole")
    after: Literal["delete", "archive", "keep"] = Field(
        "delete",
        description="what becomes of a file once it is stored; keep: it stays where it is and is remembered, which is "
        "the default for voicemail, conferences and faxes, and all there is for voicemail",
    )
    archive: Path | None = Field(None, description='after = "archive": where stored files are moved')
    state_dir: Path | None = Field(
        None, description="recpipe's own folder for this spool, in place of .recpipe in it: quarantine, uploads, lock"
    )
    cdr_csv: Path | None = Field(None, description="Asterisk Master.csv to join calls with")
    cdr_dir: Path | None = Field(
        None,
        description='FreeSWITCH xml_cdr folder to join calls with; layout = "rtpengine": a folder of CALLID.json '
        '(percent-escaped, keys as in a sidecar); layout = "kazoo": a folder of what its API answers',
    )
    meta_dir: Path | None = Field(
        None,
        description='layout = "rtpengine": the folder of its .meta files, read while the calls last '
        "(its recording-dir, the recorder's spool-dir)",
    )
    single_streams: bool = Field(
        False,
        description='layout = "rtpengine": take the file of each single stream, too, not only the one of all of them',
    )
    moved_in_whole: bool = Field(False, description="files appear by rename only: take them at once")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return check_timezone(value)

    @model_validator(mode="before")
    @classmethod
    def _stays(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("layout") in _COPIED:
            return {"after": "keep"} | given
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Spool:
        if self.layout in _THE_PBXS_OWN and self.after != "keep":
            raise ValueError(
                f'the files of layout = "{self.layout}" are the PBX\'s, which plays and deletes them: leave after out'
            )
        if self.layout == "generic":
            if not self.pattern:
                raise ValueError('layout "generic" needs a pattern with named groups, such as (?P<caller>\\d+)')
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern is not a regular expression: {error}") from error
        if self.layout != "rtpengine" and (self.meta_dir is not None or self.single_streams):
            raise ValueError('meta_dir and single_streams belong to layout = "rtpengine"')
        if self.after == "archive" and self.archive is None:
            raise ValueError('after = "archive" needs archive = "/a/folder" outside the spool')
        if self.archive is not None and self.archive.absolute().is_relative_to(self.path.absolute()):
            raise ValueError("the archive must lie outside the spool, or its files would be taken again")
        if self.state_dir is not None and self.state_dir.absolute().is_relative_to(self.path.absolute()):
            raise ValueError("state_dir must lie outside the spool; without it recpipe makes .recpipe in there")
        return self

    @property
    def label(self) -> str:
        return self.name or self.path.name

    @property
    def keeps(self) -> bool:
        """Whether stored files stay where they are."""
        return self.after == "keep"


class Settings(BaseSettings):
    """Everything that can be set. `docs/settings.md` has one row for each; a test says so."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_nested_delimiter="__", hide_input_in_errors=True
    )

    data_dir: Path = Field(Path("recpipe-data"), description="embedded state: SQLite file, objects, spools")
    database_url: SecretStr = Field(
        SecretStr(""),
        description="default: SQLite in the data dir; postgresql+psycopg://user:password@host/name",
    )
    search_seconds: float = Field(
        5.0, gt=0, le=3600, description="a search that takes the database longer is stopped, and says to narrow it"
    )
    store_url: str = Field("", description="default: file://<data dir>/objects; s3://bucket/prefix")

    recovery_key: SecretStr = Field(
        SecretStr(""),
        description="64 hex digits that encrypt what is kept beside each object, and behind a comma former ones; default: "
        "recovery.key in the data dir",
    )

    s3_endpoint: str = Field("", description="URL of an S3-compatible store; empty for AWS")
    s3_region: str = Field("us-east-1", description="region of the bucket")
    s3_access_key: SecretStr = Field(SecretStr(""), description="empty: boto3's own chain (environment, instance role)")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="goes with s3_access_key")
    s3_checksums: Literal["when_supported", "when_required"] = Field(
        "when_supported",
        description="when_required sends none, for stores that refuse them; recpipe finds that out by itself",
    )
    s3_verify: Literal["checksum", "reread"] = Field(
        "checksum",
        description="checksum: an upload is verified by the store's own SHA-256, and read back where that says nothing; "
        "reread: always read back",
    )
    s3_addressing: Literal["auto", "path", "virtual"] = Field(
        "auto", description="bucket in the path or in the host name"
    )
    s3_part_bytes: int = Field(
        8 * 1024 * 1024, ge=5 * 1024 * 1024, description="larger objects are sent in parts of this size"
    )

    http_listen: str = Field("127.0.0.1:8080", description="address:port of API and dashboard")
    http_url: str = Field("", description="how people reach it from outside, such as https://recordings.example.com")
    http_allowed_hosts: tuple[str, ...] = Field(
        (),
        description="names that requests may ask for beside http_url, http_listen, localhost and every address: "
        "*.example.com for all below one, * for any",
    )
    http_media: Literal["proxy", "redirect"] = Field(
        "proxy", description="send media ourselves, or redirect to a short-lived S3 URL"
    )
    http_max_streams: int = Field(256, ge=1, description="downloads and exports under way at once, in total")
    http_max_streams_per_user: int = Field(24, ge=1, description="for one user, with all sessions and tokens")
    http_max_connections: int = Field(
        1024, ge=2, description="in total; fewer where the limit of open files asks for it"
    )
    http_max_per_address: int = Field(
        128, ge=1, description="for one client address; trusted proxies have no such limit"
    )
    http_head_seconds: float = Field(20.0, gt=0, description="a client has to send the head of a request within this")
    http_body_seconds: float = Field(
        30.0, gt=0, description="a body of which less than 1 KiB comes within this is given up"
    )
    http_answer_seconds: float = Field(
        120.0, gt=0, description="an answer of which a client takes less than 1 KiB within this is broken off"
    )
    http_second_factor: Literal["offered", "required"] = Field(
        "offered", description="required: people without two-factor sign-in get no further than setting it up"
    )
    shared_link_days: int = Field(30, ge=0, le=366, description="longest life of a link to a call; 0: no links")
    security_contact: Contact = Field(
        "",
        description="where people report a weakness, for /.well-known/security.txt: mailto:security@example.com, or an "
        "address of https://; empty: there is no such file",
    )
    brand_name: Name = Field(
        "recpipe", max_length=40, description="what pages, letters and authenticator apps call the portal"
    )
    brand_color: Color = Field("", description="such as #0b5cad, for links and buttons; made readable where it is not")
    brand_logo: Path | None = Field(None, description="SVG or PNG that pages show beside the name, 24 pixels high")
    oidc_networks: tuple[Network, ...] = Field(
        (), description="networks such as 10.0.0.0/8 where an identity provider may be; empty: public addresses alone"
    )
    oidc_ca_file: Path | None = Field(
        None, description="PEM of the authorities that vouch for identity providers; default: those of the system"
    )
    trusted_proxies: tuple[str, ...] = Field((), description="addresses whose X-Forwarded-For is believed")

    ftp_listen: str = Field("127.0.0.1:2121", description="address:port of FTP and explicit FTPS")
    ftps_listen: str = Field("", description="address:port of implicit FTPS; empty: off")
    ftp_passive_ports: str = Field("", description="such as 30000-30100; empty: any free port")
    ftp_masquerade_address: str = Field("", description="public address to announce behind NAT")
    ftp_tls_certificate: Path | None = Field(
        None, description="PEM chain; default: a self-signed pair made on first start"
    )
    ftp_tls_key: Path | None = Field(None, description="PEM private key of ftp_tls_certificate")
    ftp_require_tls: bool = Field(False, description="refuse logins and transfers in the clear")
    ftp_tls_resumption: Literal["off", "uploads", "always"] = Field(
        "uploads", description="when a data connection over TLS must resume the session of its control connection"
    )
    ftp_max_connections: int = Field(1024, ge=1, description="in total")
    ftp_max_per_address: int = Field(64, ge=1, description="for one client address")
    ftp_max_per_account: int = Field(32, ge=1, description="for one account")
    ftp_upload_max_bytes: int = Field(4 * 1024**3, ge=1, description="of one file that is sent over FTP")
    ftp_upload_daily_bytes: int = Field(
        1024**4, ge=0, description="of all that one account sends over FTP in a day (UTC); 0: any number"
    )
    upload_reserve_bytes: int = Field(
        512 * 1024**2, ge=0, description="of a spool's disk that uploads over FTP and HTTP leave free"
    )
    ftp_idle_seconds: int = Field(300, ge=10, description="a silent session is closed after this")
    ftp_login_seconds: int = Field(60, ge=5, description="a client has to log in within this")

    smtp_url: SecretStr = Field(
        SecretStr(""), description="smtp://user:password@host:port or smtps://...; empty: no mail is sent"
    )
    mail_from: str = Field("", description="sender of mail")

    metrics_listen: str = Field(
        "", description="address:port of /metrics, /healthz and /readyz in a process without the role web; empty: off"
    )
    ingest_workers: int = Field(4, ge=1, le=64, description="files in work at the same time")
    held_retry_seconds: float = Field(60.0, gt=0, description="how often it is looked at what held files wait for")
    completeness_grace_hours: float = Field(
        24.0, gt=0, description="a recording that should be there and is not is called missing after this"
    )
    log_format: Literal["console", "json"] = Field("console", description="for people or for machines")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is written")

    spool: tuple[Spool, ...] = Field((), description="folders to ingest")

    @field_validator("spool")
    @classmethod
    def _apart(cls, spools: tuple[Spool, ...]) -> tuple[Spool, ...]:
        """Of two spools with one name only one would be served; one inside another would have its files taken by it."""
        for one, other in itertools.permutations(spools, 2):
            if one.label == other.label:
                raise ValueError(f'two spools are called {one.label!r}. Give each a name of its own: name = "pbx-1"')
            if one.state_dir is not None and one.state_dir == other.state_dir:
                raise ValueError(f"two spools have the state_dir {one.state_dir}. Give each a folder of its own")
            for folder in (other.path, other.archive, other.state_dir):
                if folder is not None and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(one.path)):
                    raise ValueError(
                        f"{folder} lies inside the spool {one.path}, which would take its files. Move one of them"
                    )
        return spools

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings

    @property
    def database(self) -> str:
        """SQLAlchemy URL; holds a password, so never log it."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.data_dir.absolute() / 'recpipe.sqlite3'}"

    @property
    def store(self) -> str:
        return self.store_url or f"file://{self.data_dir.absolute() / 'objects'}"


def split_listen(value: str) -> tuple[str, int]:
    """Split `host:port`, `[v6]:port` or `:port`.

    Raises:
        SettingsInvalid: it is none of these.
    """
    host, separator, port = value.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise SettingsInvalid(f"{value!r} is not an address to listen on. Write host:port, such as 127.0.0.1:8080.")
    return host.strip("[]"), int(port)


def load(file: Path | None = None, **overrides: Any) -> Settings:
    """Read the configuration.

    Args:
        file: the TOML file; by default `recpipe.toml` in the working folder where there is one, or RECPIPE_CONFIG.
        overrides: win over everything, for the command line and tests.

    Raises:
        SettingsInvalid: unknown names, bad values, unreadable file. The message names each and what to write.
    """
    chosen = file or (Path(os.environ[PREFIX + "CONFIG"]) if PREFIX + "CONFIG" in os.environ else None)
    if chosen is not None and not chosen.is_file():
        raise SettingsInvalid(f"There is no configuration file {chosen}. Check --config or RECPIPE_CONFIG.")
    path = chosen or DEFAULT_FILE
    return _built(overrides, lambda cls: TomlConfigSettingsSource(cls, toml_file=path), str(path))


def from_variables(defaults: dict[str, Any], **overrides: Any) -> Settings:
    """Read the RECPIPE_* variables alone, as the demo does.

    Args:
        defaults: for what no variable says.
        overrides: win over the variables.

    Raises:
        SettingsInvalid: as `load`.
    """
    return _built(overrides, lambda cls: InitSettingsSource(cls, defaults), "the command's own values")


def _built(
    overrides: dict[str, Any], last: Callable[[type[BaseSettings]], PydanticBaseSettingsSource], origin: str
) -> Settings:
    """Settings from `overrides`, then the variables, then `last`, which came from `origin`."""
    _refuse_unknown_variables()

    class _Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            *sources: PydanticBaseSettingsSource,
            **named: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return named["init_settings"], named["env_settings"], last(settings_cls)

    try:
        return _Loaded(**overrides)
    except ValidationError as error:
        raise SettingsInvalid(_explain(error, origin)) from None
    except ValueError as error:  # broken TOML, or JSON in a variable
        raise SettingsInvalid(f"{origin} cannot be read: {error}") from error


def _refuse_unknown_variables() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {PREFIX + "CONFIG"}
    for name in os.environ:
        if name.startswith(PREFIX) and name.split("__")[0] not in known:
            raise SettingsInvalid(f"{name} is not a setting.{_nearest(name, known)}")


def _nearest(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]}?" if near else " docs/settings.md lists all of them."


def _explain(error: ValidationError, origin: str) -> str:
    known = set(Settings.model_fields) | set(Spool.model_fields)
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        where = ".".join(str(part) for part in problem["loc"]) or "settings"
        if problem["type"] == "extra_forbidden":
            lines.append(f"{where} is not a setting.{_nearest(str(problem['loc'][-1]), known)}")
        else:
            lines.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}")
    return f"The configuration ({origin} and RECPIPE_* variables) cannot be used:\n  " + "\n  ".join(lines)
