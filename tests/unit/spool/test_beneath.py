"""The way into a spool that others may write to: no link is followed, nothing special is waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from recpipe.errors import SourceChanged
from recpipe.model import FileIdentity
from recpipe.spool import beneath
from recpipe.spool.beneath import Beneath, NotBeneath


@pytest.fixture(params=["openat2", "by parts"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Beneath:
    """A spool with a/b/x.wav, by both ways in; outside of it lies victim/x.wav."""
    if request.param == "by parts":
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)
    for folder in ("spool/a/b", "victim"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "spool/a/b/x.wav").write_bytes(b"ours")
    (tmp_path / "victim/x.wav").write_bytes(b"secret")
    return Beneath(tmp_path / "spool")


def identity(path: Path) -> FileIdentity:
    return FileIdentity.of(path.stat())


def test_a_file_is_read_through_its_descriptor_whatever_takes_its_name(way: Beneath) -> None:
    path = way.root / "a/b/x.wav"
    with way.file("a/b/x.wav", identity(path)) as opened:
        (way.root / "a").rename(way.root / "gone")
        assert opened.read_bytes() == b"ours"


def test_the_root_itself_may_be_a_link(way: Beneath, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(way.root)
    assert Beneath(tmp_path / "link").status("a/b/x.wav").st_size == 4


LINKS = {
    "the first folder": ("a", "victim", "a/x.wav"),
    "a folder within": ("a/b", "victim", "a/b/x.wav"),
    "the file": ("a/b/x.wav", "victim/x.wav", "a/b/x.wav"),
    "a folder, by a link that stays inside": ("a/b", "spool/other", "a/b/x.wav"),
}


@pytest.mark.parametrize("what", LINKS)
def test_no_link_is_followed(what: str, way: Beneath, tmp_path: Path) -> None:
    place, target, relative = LINKS[what]
    (tmp_path / "spool/other").mkdir()
    (tmp_path / "spool/other/x.wav").write_bytes(b"secret")
    victim = identity(tmp_path / (target if target.endswith(".wav") else f"{target}/x.wav"))
    (way.root / place).rename(tmp_path / "moved")
    (way.root / place).symlink_to(tmp_path / target)
    with pytest.raises(SourceChanged), way.file(relative, victim):
        pass
    if what != "the file":
        with pytest.raises(OSError, match=r"link|Not a directory"), way.parent(relative, make_mode=0o755):
            pass
    assert (tmp_path / "victim/x.wav").read_bytes() == b"secret"


@pytest.mark.parametrize(
    "relative", ["../victim/x.wav", "a/../../victim/x.wav", "/etc/passwd", "a//b", "a/./b", "a\0b"]
)
def test_no_path_leads_outside(relative: str, way: Beneath) -> None:
    with pytest.raises(NotBeneath):
        way.open(relative, os.O_RDONLY)
    with pytest.raises(NotBeneath), way.parent(relative, make_mode=0o700):
        pass


@pytest.fixture(params=["fifo", "folder", "socket", "device"])
def special(request: pytest.FixtureRequest, way: Beneath) -> Iterator[str]:
    path = way.root / "a/b/x.wav"
    path.unlink()
    if request.param == "fifo":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "device":
        if os.geteuid() != 0:
            pytest.skip("only root makes a device")
        os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero never ends
    with socket.socket(socket.AF_UNIX) as listening:
        if request.param == "socket":
            listening.bind(str(path))
        yield request.param


def test_what_is_no_regular_file_is_neither_read_nor_waited_for(special: str, way: Beneath) -> None:
    with pytest.raises(SourceChanged), way.file("a/b/x.wav", identity(way.root / "a/b/x.wav")):
        pass


def test_another_file_under_the_name_is_a_changed_source(way: Beneath) -> None:
    path = way.root / "a/b/x.wav"
    settled = identity(path)
    path.rename(path.with_name("y.wav"))
    path.write_bytes(b"more")
    with pytest.raises(SourceChanged), way.file("a/b/x.wav", settled):
        pass


def test_folders_are_made_and_stay_pinned(way: Beneath, tmp_path: Path) -> None:
    with way.parent("new/one/z.wav", make_mode=0o700) as path:
        (way.root / "new").rename(way.root / "elsewhere")
        (way.root / "new").symlink_to(tmp_path / "victim")
        path.write_bytes(b"z")
    assert (way.root / "elsewhere/one/z.wav").read_bytes() == b"z"
    assert not (tmp_path / "victim/one").exists()


def test_nothing_stays_open(way: Beneath) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with way.file("a/b/x.wav", identity(way.root / "a/b/x.wav")):
            pass
        with pytest.raises(OSError, match="No such file"):
            way.open("a/none/x.wav", os.O_RDONLY)
        with pytest.raises(OSError, match=r"No such file|Not a directory"), way.folder("a/none/deep"):
            pass
        with way.folder("a/made/deep", make_mode=0o755):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
