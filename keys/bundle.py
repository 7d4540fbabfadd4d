"""Bundles of certificates: what Windows exports as `.p7b` and certificate authorities send as `.p7c`.

A bundle is a signed message without content and without signers ("degenerate", certs-only).

Source: RFC 5652 section 5.1 (SignedData), RFC 8551 section 3.8 (certs-only messages).
"""

from __future__ import annotations

from asn1crypto import cms


def certificates_in(der: bytes) -> list[bytes]:
    """The certificates of a certs-only PKCS#7 bundle, as DER, in its order; none where it is anything else.

    Args:
        der: a ContentInfo in DER, or in BER as streaming writers make it.
    """
    try:
        message = cms.ContentInfo.load(der, strict=True)
        if message["content_type"].native != "signed_data":
            return []
        signed = message["content"]
        if len(signed["signer_infos"]) or signed["encap_content_info"]["content"].native is not None:
            return []
        choices = signed["certificates"]
        return [bytes(one.chosen.dump()) for one in choices if one.name == "certificate"]
    except Exception:  # asn1crypto lets a dozen kinds of errors through on hostile input
        return []
