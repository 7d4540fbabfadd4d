"""`seal`, `open` and `inspect`: the envelope alone. They need no configuration and no database."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import password_from_stdin, read_input
from recpipe.errors import InputInvalid

if TYPE_CHECKING:
    from keys.certificate import Certificate

SUFFIX = ".enc"
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)

Force = Annotated[bool, typer.Option("--force", "-f", help="Replace what is there under the name of the output.")]


def seal(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to seal.", show_default=False)],
    to: Annotated[
        list[str],
        typer.Option(metavar="CERTIFICATE", help="Who can open it; repeat it for more than one.", show_default=False),
    ],
    out: Annotated[Path | None, typer.Option(metavar="PATH", help="Default: FILE.enc.", show_default=False)] = None,
    force: Force = False,
    json: AsJson = False,
) -> None:
    """Seal a file for one certificate or more: any one of their private keys opens it.

    [bold]recpipe seal call.wav --to mypublickey.pem --to auditor.pem[/]
    """
    from keys.envelope import seal_file

    target = _output(file, out or file.with_name(file.name + SUFFIX), force=force)
    vetted = [_vetted(one) for one in to]
    sealed = seal_file(file, target, [one.der for one in vetted])
    if json:
        frame.print_json(
            {
                "file": str(target),
                "size_bytes": sealed.size_bytes,
                "sha256": sealed.sealed_sha256,
                "content_sha256": sealed.plain_sha256,
                "fingerprints": list(sealed.fingerprints),
            }
        )
        return
    for one in vetted:
        for warning in one.warnings:
            frame.err.print(f"[yellow]Note ({warning.code}):[/] {frame.shown(warning.message)}")
    frame.say(f"Sealed {frame.shown(target)} for {', '.join(frame.shown(one.subject) for one in vetted)}.")
    frame.details([("SHA-256", sealed.sealed_sha256), ("Content SHA-256", sealed.plain_sha256)])


def open_(
    file: Annotated[Path, typer.Argument(metavar="FILE.enc", help="What was sealed.", show_default=False)],
    key: Annotated[
        Path, typer.Option(metavar="FILE", help="Private key: PEM, DER, PKCS#12 or OpenSSH.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Default: FILE without .enc.", show_default=False)
    ] = None,
    sha256: Annotated[
        str,
        typer.Option(
            metavar="HEX", help="Content SHA-256 that must come out; else nothing is kept.", show_default=False
        ),
    ] = "",
    passphrase_stdin: Annotated[
        bool, typer.Option("--passphrase-stdin", help="Read the key's passphrase from standard input.")
    ] = False,
    force: Force = False,
    json: AsJson = False,
) -> None:
    """Open a sealed file with a private key. A key with a passphrase asks for it.

    Whether the content is what was sealed shows only in its SHA-256: name it with --sha256 where you know it.

    [bold]recpipe open call.wav.enc --key myprivatekey.pem[/]
    """
    from keys.errors import PrivateKeyUnusable
    from keys.opening import open_file

    if out is None and file.suffix.lower() != SUFFIX:
        raise InputInvalid("out", f"{file} does not end in {SUFFIX}. Name the file to write with --out.")
    if sha256 and not _SHA256.fullmatch(sha256.strip()):
        raise InputInvalid(
            "sha256", "--sha256 takes 64 hexadecimal digits, as SHA256SUMS and recordings show have them."
        )
    target = _output(file, out or file.with_suffix(""), force=force)
    passphrase = password_from_stdin() if passphrase_stdin else None
    expected = sha256 or None
    try:
        opened = open_file(file, key, target, passphrase=passphrase, expect_sha256=expected)
    except PrivateKeyUnusable as error:
        if passphrase is not None or "needs its passphrase" not in str(error) or not sys.stdin.isatty():
            raise
        typed: str = typer.prompt("Passphrase of the private key", hide_input=True, err=True)
        opened = open_file(file, key, target, passphrase=typed, expect_sha256=expected)
    if json:
        frame.print_json(
            {
                "file": str(target),
                "size_bytes": opened.size_bytes,
                "sha256": opened.plain_sha256,
                "sealed_sha256": opened.sealed_sha256,
            }
        )
        return
    frame.say(f"Opened {frame.shown(target)} ({opened.size_bytes:,} bytes).")
    frame.details([("SHA-256", f"{opened.plain_sha256}{' (as expected)' if sha256 else ''}")])


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE.enc", help="What was sealed.", show_default=False)],
    certificates: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with certificates: say which of them it is sealed for.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Say who can open a sealed file: the issuer and serial number of each certificate it was sealed for.

    [bold]recpipe inspect call.wav.enc --certificates ~/certificates[/]
    """
    from keys import opening

    info = opening.inspect(file)
    known = _certificates_in(certificates) if certificates else {}
    matching = set(info.matching(one.der for one in known.values()))
    found = {path: one for path, one in known.items() if one.der in matching}
    if json:
        frame.print_json(
            {
                "content_algorithm": info.content_algorithm,
                "content_offset": info.content_offset,
                "content_bytes": info.content_bytes,
                "iv": info.iv.hex(),
                "recipients": [
                    {
                        "kind": one.kind,
                        "issuer": one.issuer,
                        "serial": one.serial,
                        "key_identifier": one.key_identifier,
                        "algorithm": one.algorithm,
                    }
                    for one in info.recipients
                ],
                "certificates": [
                    {"file": str(path), "subject": one.subject, "fingerprint": one.fingerprint}
                    for path, one in found.items()
                ],
            }
        )
        return
    size = "in pieces" if info.content_bytes is None else f"{info.content_bytes:,} bytes"
    frame.say(f"{frame.shown(info.content_algorithm)}, {size}. Any one of these opens it:")
    frame.table(
        ("ISSUER", "SERIAL", "KEY", "HOW"),
        [
            (
                one.issuer or (f"key {one.key_identifier}" if one.key_identifier else one.kind),
                one.serial,
                f"RSA {one.encrypted_key_bytes * 8}" if one.kind == "key-transport" else "",
                one.algorithm or one.kind,
            )
            for one in info.recipients
        ],
    )
    for path, one in found.items():
        frame.say(f"[green]{frame.shown(path)}[/] is one of them: {frame.shown(one.subject)}")
    if known and not found:
        frame.say(f"None of the {len(known):,} certificates in {frame.shown(certificates)} is one of them.")


def _output(source: Path, target: Path, *, force: bool) -> Path:
    if not source.is_file():
        raise InputInvalid("file", f"There is no file {source}.")
    if target.exists() and source.exists() and target.samefile(source):
        raise InputInvalid(
            "out", f"{target} is also what is read; writing there would destroy it. Choose another name."
        )
    if (target.exists() or target.is_symlink()) and not force:
        raise InputInvalid("out", f"{target} is there already. Choose another --out, or replace it with --force.")
    if not target.parent.is_dir():
        raise InputInvalid("out", f"There is no folder {target.parent} to write to.")
    return target


def _vetted(file: str) -> Certificate:
    from keys.certificate import vet

    return vet(read_input(file), now=datetime.now(UTC))


def _certificates_in(folder: Path) -> dict[Path, Certificate]:
    """What of a folder is a certificate; everything else in it is passed over, private keys unread."""
    from keys.errors import CertificateRejected

    if not folder.is_dir():
        raise InputInvalid("certificates", f"{folder} is no folder.")
    found = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            found[path] = _vetted(str(path))
        except (CertificateRejected, InputInvalid):
            continue
    return found
