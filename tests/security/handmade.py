"""Signatures written by hand, so that every part can be wrong by itself while the RSA signature stays right."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding

from adapter import xmlio
from adapter.security.keys import SigningKey
from tests.security.oracles import C14N, DS, HASH, RSA

CONTENT = b"<m><a>1</a><b>2</b></m>"
ENVELOPED = f'<ds:Transform Algorithm="{DS}enveloped-signature"></ds:Transform>'
INCLUSIVE = f'<ds:Transform Algorithm="{C14N}"></ds:Transform>'
HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a Signature as text; what is None is written as it should be."""

    content: bytes = CONTENT
    digested: bytes | None = None  # what DigestValue is computed over; None: the content
    info_method: str = f'<ds:CanonicalizationMethod Algorithm="{C14N}"></ds:CanonicalizationMethod>'
    hash_name: str = "sha256"
    method: str | None = None
    uri: str = ' URI=""'
    transforms: str = f"<ds:Transforms>{ENVELOPED}{INCLUSIVE}</ds:Transforms>"
    digest_method: str | None = None
    references: str | None = None
    info_extra: str = ""
    key_info: str | None = None
    extra: str = ""
    value: bytes | None = None

    def reference(self) -> str:
        octets = self.content if self.digested is None else self.digested
        digest = b64encode(hashlib.new(self.hash_name, octets).digest()).decode()
        method = self.digest_method or f'<ds:DigestMethod Algorithm="{HASH[self.hash_name]}"></ds:DigestMethod>'
        inside = f"{self.transforms}{method}<ds:DigestValue>{digest}</ds:DigestValue>"
        return f"<ds:Reference{self.uri}>{inside}</ds:Reference>"

    def info(self) -> str:
        method = self.method or f'<ds:SignatureMethod Algorithm="{RSA[self.hash_name]}"></ds:SignatureMethod>'
        references = self.references if self.references is not None else self.reference()
        return f"{self.info_method}{method}{references}{self.info_extra}"


def certificate_text(key: SigningKey) -> str:
    return b64encode(key.certificate.public_bytes(Encoding.DER)).decode()


def x509_data(key: SigningKey) -> str:
    return f"<ds:X509Data><ds:X509Certificate>{certificate_text(key)}</ds:X509Certificate></ds:X509Data>"


def signature(key: SigningKey, parts: Parts) -> str:
    """The Signature element as text; its RSA value belongs to SignedInfo unless the parts say otherwise."""
    info = parts.info()
    octets = f'<ds:SignedInfo xmlns:ds="{DS}">{info}</ds:SignedInfo>'.encode()
    value = parts.value or key.private_key.sign(octets, padding.PKCS1v15(), HASHES[parts.hash_name])
    key_info = parts.key_info if parts.key_info is not None else f"<ds:KeyInfo>{x509_data(key)}</ds:KeyInfo>"
    return (
        f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>{info}</ds:SignedInfo>'
        f"<ds:SignatureValue>{b64encode(value).decode()}</ds:SignatureValue>{key_info}{parts.extra}</ds:Signature>"
    )


def document(key: SigningKey, parts: Parts | None = None, **changes: object) -> bytes:
    """The content (a canonical document without namespaces) with the Signature as its last child."""
    parts = replace(parts or Parts(), **changes)  # type: ignore[arg-type]
    end = parts.content.rindex(b"</")
    return parts.content[:end] + signature(key, parts).encode() + parts.content[end:]


def parsed(key: SigningKey, **changes: object) -> xmlio.Element:
    return xmlio.parse(document(key, **changes))
