"""Envelopes for the tests, and signatures written by hand, so that every part can be wrong by itself.

The RSA value is right in all of them; what it is about is not.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric import padding

from adapter import xmlio
from adapter.security.envelope_profile import NEXT, NEXT_MSH, SOAP, XPATH
from adapter.security.keys import SigningKey
from tests.security.handmade import ENVELOPED, HASHES, INCLUSIVE, x509_data
from tests.security.oracles import C14N, DS, HASH, RSA

EB = "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd"
XLINK = "http://www.w3.org/1999/xlink"
NAMESPACES = f' xmlns:SOAP="{SOAP}" xmlns:eb="{EB}" xmlns:xlink="{XLINK}"'
APEX = f' xmlns:SOAP="{SOAP}" xmlns:ds="{DS}" xmlns:eb="{EB}" xmlns:xlink="{XLINK}"'
MESSAGE_HEADER = (
    '<eb:MessageHeader SOAP:mustUnderstand="1" eb:version="2.0"><eb:Service>S-X</eb:Service></eb:MessageHeader>'
)
MANIFEST = '<eb:Manifest eb:version="2.0"><eb:Reference xlink:href="cid:part@test"></eb:Reference></eb:Manifest>'
SYNC_REPLY = f'<eb:SyncReply SOAP:actor="{NEXT}" SOAP:mustUnderstand="1" eb:version="2.0"></eb:SyncReply>'
PART = {"part@test": b"0\x82ciphertext\r\n\0"}
EXPRESSION = f'not(ancestor-or-self::node()[@SOAP:actor="{NEXT_MSH}"] | ancestor-or-self::node()[@SOAP:actor="{NEXT}"])'


def xpath(expression: str = EXPRESSION, declared: str = "") -> str:
    return f'<ds:Transform Algorithm="{XPATH}"><ds:XPath{declared}>{expression}</ds:XPath></ds:Transform>'


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """An envelope as text in canonical form, and its Signature in parts; what is None is written as it should be."""

    header: str = MESSAGE_HEADER
    body: str = MANIFEST
    after: str = ""  # blocks after the Signature
    unsigned: str = ""  # what is in the Header and left out of the digest
    parts: dict[str, bytes] = field(default_factory=lambda: dict(PART))
    hash_name: str = "sha256"
    method: str | None = None
    info_method: str = f'<ds:CanonicalizationMethod Algorithm="{C14N}"></ds:CanonicalizationMethod>'
    transforms: str = f"<ds:Transforms>{ENVELOPED}{xpath()}{INCLUSIVE}</ds:Transforms>"
    root_uri: str = ' URI=""'
    root_reference: str | None = None
    part_references: str | None = None
    digest_method: str | None = None
    digested: str | None = None
    key_info: str | None = None
    value: bytes | None = None
    extra: str = ""
    wrap: str = "%s"  # what the Signature is put into

    def digest(self, octets: bytes) -> str:
        digest = b64encode(hashlib.new(self.hash_name, octets).digest()).decode()
        method = self.digest_method or f'<ds:DigestMethod Algorithm="{HASH[self.hash_name]}"></ds:DigestMethod>'
        return f"{method}<ds:DigestValue>{digest}</ds:DigestValue>"

    def content(self, signature: str = "", unsigned: str = "") -> str:
        header = f"<SOAP:Header>{self.header}{unsigned}{signature}{self.after}</SOAP:Header>"
        return f"<SOAP:Envelope{NAMESPACES}>{header}<SOAP:Body>{self.body}</SOAP:Body></SOAP:Envelope>"

    def part_reference(self, name: str, octets: bytes) -> str:
        return f'<ds:Reference URI="cid:{name}">{self.digest(octets)}</ds:Reference>'

    def info(self) -> str:
        about = self.digested if self.digested is not None else self.content(self.wrap % "")
        root = f"<ds:Reference{self.root_uri}>{self.transforms}{self.digest(about.encode())}</ds:Reference>"
        method = self.method or f'<ds:SignatureMethod Algorithm="{RSA[self.hash_name]}"></ds:SignatureMethod>'
        parts = "".join(self.part_reference(*one) for one in self.parts.items())
        return "".join(
            [
                self.info_method,
                method,
                root if self.root_reference is None else self.root_reference,
                parts if self.part_references is None else self.part_references,
            ]
        )

    def signed(self, key: SigningKey, **changes: object) -> str:
        """The whole envelope with its Signature, as text."""
        if changes:
            return replace(self, **changes).signed(key)  # type: ignore[arg-type]
        return self.content(self.wrap % self.signature(key), self.unsigned)

    def signature(self, key: SigningKey) -> str:
        info = self.info()
        octets = f"<ds:SignedInfo{APEX}>{info}</ds:SignedInfo>".encode()
        value = self.value or key.private_key.sign(octets, padding.PKCS1v15(), HASHES[self.hash_name])
        key_info = self.key_info if self.key_info is not None else f"<ds:KeyInfo>{x509_data(key)}</ds:KeyInfo>"
        return (
            f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>{info}</ds:SignedInfo>'
            f"<ds:SignatureValue>{b64encode(value).decode()}</ds:SignatureValue>{key_info}{self.extra}</ds:Signature>"
        )

    def parsed(self, key: SigningKey, **changes: object) -> xmlio.Element:
        return xmlio.parse(self.signed(key, **changes).encode())


GOOD = Envelope()


def unsigned(header: str = MESSAGE_HEADER, body: str = MANIFEST) -> xmlio.Element:
    return xmlio.parse(Envelope(header=header, body=body).content().encode())
