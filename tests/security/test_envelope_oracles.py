"""Our envelopes before other engines, and theirs before ours: python-xmlsec, Apache Santuario, the program xmlsec1.

signxml is no witness here: it cannot follow cid: and skips the XPath transform without a word.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree

from adapter import xmlio
from adapter.errors import EnvelopeSignatureError
from adapter.security.envelope_profile import SOAP
from adapter.security.envelope_signature import sign_envelope, verify_envelope
from adapter.security.keys import SigningKey
from tests.security import oracles
from tests.security.envelopes import EXPRESSION, MANIFEST, MESSAGE_HEADER, SYNC_REPLY, unsigned
from tests.security.oracles import DS

xmlsec = pytest.importorskip("xmlsec", reason="python-xmlsec is not installed")

PARTS = {"part@test": os.urandom(6_000), "b": b"\r\n text \r\n"}


class Attachments:
    """What ``cid:`` gives to libxmlsec: its callbacks are those of the whole process."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}

    def matches(self, uri: bytes) -> bool:
        return uri.startswith(b"cid:")

    def open(self, uri: bytes) -> list[bytes] | None:
        octets = self.parts.get(uri[4:].decode())
        return None if octets is None else [octets]

    def read(self, handle: list[bytes], buffer: memoryview) -> int:
        piece = handle[0][: len(buffer)]
        buffer[: len(piece)] = piece
        handle[0] = handle[0][len(piece) :]
        return len(piece)

    def close(self, handle: list[bytes]) -> None:
        handle.clear()


@pytest.fixture(scope="module")
def attachments() -> Iterator[Attachments]:
    given = Attachments()
    xmlsec.cleanup_callbacks()
    xmlsec.register_callbacks(given.matches, given.open, given.read, given.close)
    yield given
    xmlsec.cleanup_callbacks()
    xmlsec.register_default_callbacks()


def xmlsec_holds(signed: bytes, certificate: x509.Certificate) -> bool:
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(certificate.public_bytes(Encoding.PEM), xmlsec.KeyFormat.CERT_PEM)
    try:
        context.verify(xmlsec.tree.find_node(etree.fromstring(signed), "Signature", DS))
    except xmlsec.Error:
        return False
    return True


@pytest.mark.parametrize("header", [MESSAGE_HEADER, MESSAGE_HEADER + SYNC_REPLY], ids=["plain", "SyncReply"])
def test_python_xmlsec_accepts_ours(company: SigningKey, attachments: Attachments, header: str) -> None:
    signed = sign_envelope(unsigned(header), company, PARTS)
    attachments.parts = PARTS
    assert xmlsec_holds(signed, company.certificate)
    assert xmlsec_holds(signed.replace(SYNC_REPLY.encode(), b""), company.certificate)
    assert not xmlsec_holds(signed.replace(b"S-X", b"S-Y"), company.certificate)
    attachments.parts = {**PARTS, "b": b"other"}
    assert not xmlsec_holds(signed, company.certificate)


@pytest.mark.parametrize(
    "text",
    [
        f'<Envelope xmlns="{SOAP}"><Header/><Body/></Envelope>',
        f'<e:Envelope xmlns:e="{SOAP}" xml:lang="no"><e:Header xml:space="preserve"> <x xmlns="urn:x"/> </e:Header>'
        "</e:Envelope>",
        f'<e:Envelope xmlns:e="{SOAP}" xmlns="urn:d" xmlns:ds="urn:o"><e:Header xmlns=""><y/></e:Header></e:Envelope>',
    ],
    ids=["default", "xml attributes", "undeclared below"],
)
def test_python_xmlsec_accepts_ours_in_any_prefixes(company: SigningKey, attachments: Attachments, text: str) -> None:
    attachments.parts = PARTS
    assert xmlsec_holds(sign_envelope(xmlio.parse(text.encode()), company, PARTS), company.certificate)


def signed_by_xmlsec(key: SigningKey, header: str, prefix: str | None, xpath: bool) -> bytes:
    root = unsigned(header)
    transforms = xmlsec.Transform
    node = xmlsec.template.create(root, transforms.C14N, transforms.RSA_SHA256, ns=prefix)
    root[0].append(node)
    reference = xmlsec.template.add_reference(node, transforms.SHA256, uri="")
    xmlsec.template.add_transform(reference, transforms.ENVELOPED)
    if xpath:
        step = xmlsec.template.add_transform(reference, transforms.XPATH)
        etree.SubElement(step, f"{{{DS}}}XPath").text = EXPRESSION
    xmlsec.template.add_transform(reference, transforms.C14N)
    for name in PARTS:
        xmlsec.template.add_reference(node, transforms.SHA256, uri=f"cid:{name}")
    xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(node))
    private = key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(private, xmlsec.KeyFormat.PEM)
    context.key.load_cert_from_memory(key.certificate.public_bytes(Encoding.PEM), xmlsec.KeyFormat.PEM)
    context.sign(node)
    return etree.tostring(root)


@pytest.mark.parametrize("xpath", [True, False], ids=["XPath", "no XPath"])
@pytest.mark.parametrize("prefix", ["ds", None])
@pytest.mark.parametrize("header", [MESSAGE_HEADER, MESSAGE_HEADER + SYNC_REPLY], ids=["plain", "SyncReply"])
def test_ours_accepts_python_xmlsec(
    company: SigningKey, attachments: Attachments, header: str, prefix: str | None, xpath: bool
) -> None:
    attachments.parts = PARTS
    signed = signed_by_xmlsec(company, header, prefix, xpath)
    found = verify_envelope(xmlio.parse(signed), PARTS, pinned=company.certificate)
    assert len(found.covered) == 3
    assert (b"SyncReply" in found.octets) is (header != MESSAGE_HEADER and not xpath)
    with pytest.raises(EnvelopeSignatureError):
        verify_envelope(xmlio.parse(signed.replace(b"S-X", b"S-Y")), PARTS)
    with pytest.raises(EnvelopeSignatureError):
        verify_envelope(xmlio.parse(signed), {**PARTS, "b": b""})


@pytest.mark.skipif(shutil.which("xmlsec1") is None, reason="the program xmlsec1 is not installed")
@pytest.mark.parametrize("parts", [{}, PARTS], ids=["a signal", "a message"])
def test_the_program_xmlsec1_accepts_ours(company: SigningKey, parts: dict[str, bytes], tmp_path: Path) -> None:
    signed = sign_envelope(unsigned(MESSAGE_HEADER + SYNC_REPLY, MANIFEST if parts else ""), company, parts)
    (tmp_path / "envelope.xml").write_bytes(signed)
    (tmp_path / "certificate.pem").write_bytes(company.certificate.public_bytes(Encoding.PEM))
    maps = []
    for number, (name, octets) in enumerate(parts.items()):
        (tmp_path / str(number)).write_bytes(octets)
        maps += [f"--url-map:cid:{name}", str(tmp_path / str(number))]

    def holds() -> bool:
        command = ["xmlsec1", "--verify", "--insecure", "--pubkey-cert-pem", "certificate.pem", *maps, "envelope.xml"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0

    assert holds()
    if parts:
        (tmp_path / "1").write_bytes(b"other")
        assert not holds()


def files_of(parts: dict[str, bytes], folder: Path) -> list[str]:
    """Content-ID and file of each part, as the witness takes them."""
    fields: list[str] = []
    for number, (name, octets) in enumerate(parts.items()):
        (folder / f"part-{number}").write_bytes(octets)
        fields += [name, str(folder / f"part-{number}")]
    return fields


@pytest.fixture
def santuario() -> None:
    if reason := oracles.missing("santuario"):
        pytest.skip(reason)


@pytest.mark.usefixtures("santuario")
@pytest.mark.parametrize("header", [MESSAGE_HEADER, MESSAGE_HEADER + SYNC_REPLY], ids=["plain", "SyncReply"])
def test_santuario_accepts_ours(company: SigningKey, header: str, tmp_path: Path) -> None:
    file, fields = tmp_path / "envelope.xml", files_of(PARTS, tmp_path)
    signed = sign_envelope(unsigned(header), company, PARTS)
    for octets, sound in ((signed, True), (signed.replace(b"S-X", b"S-Y"), False)):
        file.write_bytes(octets)
        answer = oracles.ask_santuario("verify-envelope", "1", str(file), *fields)
        assert answer.startswith("sound") is sound, answer


@pytest.mark.usefixtures("santuario")
@pytest.mark.parametrize("header", [MESSAGE_HEADER, MESSAGE_HEADER + SYNC_REPLY], ids=["plain", "SyncReply"])
def test_ours_accepts_santuario(company: SigningKey, header: str, tmp_path: Path) -> None:
    source, out, private, certificate = (tmp_path / name for name in ("in.xml", "out.xml", "key.p8", "cert.der"))
    source.write_bytes(xmlio.serialise(unsigned(header)))
    private.write_bytes(company.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    certificate.write_bytes(company.certificate.public_bytes(Encoding.DER))
    paths = [str(path) for path in (source, out, private, certificate)]
    answer = oracles.ask_santuario("sign-envelope", "1", *paths, EXPRESSION, *files_of(PARTS, tmp_path))
    assert answer.startswith("done"), answer
    found = verify_envelope(xmlio.parse(out.read_bytes()), PARTS, pinned=company.certificate)
    assert len(found.covered) == 3
    assert b"SyncReply" not in found.octets
