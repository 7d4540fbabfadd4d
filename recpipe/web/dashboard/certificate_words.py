"""What `keys` says of a certificate, in the language of the person: it speaks English, in few sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from recpipe import languages
from recpipe.messages import Message, message

# Each as `keys` has it, with a hole for what changes; tests/unit/test_languages.py looks whether one is missing.
_SAYS = (
    message("This contains {what}, which must never leave its owner."),
    message("This is larger than {size} KiB; a certificate has one or two."),
    message("The block {label} is cut: its BEGIN or its END line is missing or does not match."),
    message("A block labelled {label} is not a certificate."),
    message("{count} bytes follow the end of the certificate."),
    message(
        "Make a key pair with: openssl req -newkey rsa:2048 -nodes -keyout myprivatekey.pem -x509 -days 1825 -out "
        "mypublickey.pem and paste the contents of mypublickey.pem."
    ),
    message(
        "Make an RSA key pair with: openssl req -newkey rsa:2048 -nodes -keyout myprivatekey.pem -x509 -days 1825 "
        "-out mypublickey.pem and paste the contents of mypublickey.pem."
    ),
    message("Paste the part from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, both lines included."),
    message(
        "Nothing of it was kept. If it was sent from its owner's computer, as by pasting it into a page, treat it "
        "as exposed."
    ),
    message("Keep the old private key only as long as recordings made for it must be opened."),
    message(
        "Take the certificate alone out of it: openssl pkcs12 -in FILE -clcerts -nokeys -out mypublickey.pem and "
        "give mypublickey.pem; or on Windows, export it from certmgr.msc without the private key and give the .cer."
    ),
    message("This is a certificate request (CSR), which is only the question to a certificate authority."),
    message("Paste the certificate that the authority sent back, or a self-signed one."),
    message("This is a PKCS#7 or CMS file, and no bundle of certificates: it was signed or sealed, or it is damaged."),
    message("Or export the certificate as .cer or .p7b."),
    message("This is a certificate revocation list."),
    message("There is no certificate in this."),
    message("There is nothing in it."),
    message("If you have none:"),
    message("Paste it alone."),
    message("This is an SSH public key."),
    message("This is a PGP block; recordings are sealed for X.509."),
    message("This is OpenSSL's own TRUSTED CERTIFICATE form, which other programs do not read."),
    message("Convert it with: openssl x509 -in FILE -out mypublickey.pem and paste the contents of mypublickey.pem."),
    message("The text between BEGIN and END is not intact base64: characters were lost or added."),
    message("Open the file in a plain text editor and copy it again, whole."),
    message("Several different {what} were given{listed}."),
    message("Which one should recordings be sealed for? Give that one alone."),
    message("{count} certificates were given; only the leaf, {subject}, is used."),
    message("The {what} of this certificate is malformed: {why}. OpenSSL could not read what is sealed for it."),
    message(
        "Give the public key of the same private key instead: openssl pkey -in myprivatekey.pem -pubout -out "
        "mypublickey.pem; or have the certificate issued again, with its names in UTF-8."
    ),
    message("This looks like a certificate, but it is cut or damaged."),
    message("Check it with: openssl x509 -noout -text -in FILE, then copy it again, whole."),
    message("This looks like a public key, but it is cut or damaged."),
    message("Copy it again, whole."),
    message("This RSA key is marked for signatures only (RSA-PSS)."),
    message("This RSA key is marked for RSA-OAEP only."),
    message("This is an elliptic-curve key; openssl smime needs RSA."),
    message("This is a DSA key, which can only sign; openssl smime needs RSA."),
    message("This is an {name} key; openssl smime needs RSA."),
    message("This is not an RSA key; openssl smime needs RSA."),
    message("This RSA key has {bits} bits; at least {least} are needed."),
    message("This RSA key has {bits} bits; at most {most} can be used."),
    message("The public exponent of this RSA key cannot be used."),
    message("The modulus of this RSA key has small factors: it protects nothing."),
    message("Its key usage does not name key encipherment; openssl opens all the same."),
    message("Its issuer is empty: gpgsm cannot open recordings sealed for it."),
    message("Its serial number is not positive, against RFC 5280."),
    message("Its public exponent {exponent} is unusual."),
    message("A bare public key was given; a certificate was made around it. Name, serial and dates mean nothing."),
    message("It expired on {day}."),
    message("It is not valid before {day}."),
    message("It expires on {day}, in {count} days."),
    message("It is signed with {name}, which can be forged."),
    message("It was issued with a {bits}-bit RSA key, which can be broken."),
    message(
        "This is not the code inside the envelope. Open challenge.enc with the private key and copy the code again."
    ),
    message("A file was chosen, and text was pasted too."),
    message("Give one of the two."),
)
# What stands in some of the holes.
_VALUES = frozenset(
    {
        message("a private key"),
        message("a PKCS#12 file, and with it most likely a private key"),
        message("a Java key store, and with it most likely a private key"),
        message("an OpenSSH private key"),
        message("certificates"),
        message("public keys"),
        message("issuer"),
        message("serial number"),
    }
)
_HOLE = re.compile(r"\{(\w+)\}")


def judged(text: str) -> str:
    """The same sentences; where one is not known, all of them as they are."""
    if languages.current() == languages.ENGLISH:
        return text
    said, rest = [], text.strip()
    while rest:
        for says, pattern in _patterns():
            if found := pattern.match(rest):
                values = {
                    name: message(value) if value in _VALUES else value for name, value in found.groupdict().items()
                }
                said.append(languages.said(Message(says.text, values)))
                rest = rest[found.end() :].lstrip()
                break
        else:
            return text
    return " ".join(said)


@cache
def _patterns() -> Sequence[tuple[Message, re.Pattern[str]]]:
    """The longest first: what begins another one is not taken for it."""
    ordered = sorted(_SAYS, key=lambda says: (bool(_HOLE.search(says)), -len(says)))
    return [(says, _pattern(says.text)) for says in ordered]


def _pattern(text: str) -> re.Pattern[str]:
    parts = _HOLE.split(text)
    return re.compile("".join(re.escape(part) if n % 2 == 0 else f"(?P<{part}>.*?)" for n, part in enumerate(parts)))
