"""CMS EnvelopedData read: a bounded walker over BER and DER, and the few fields that decryption needs.

Partners write DER, and BER with indefinite lengths and chopped octet strings (streaming senders); both are read in
place, without copying the ciphertext. Every bound and every unknown is one DecryptionError; nothing is computed here.

Sources: RFC 5652 (CMS), RFC 4055 (RSAES-OAEP), RFC 3565 (AES in CMS), ITU-T X.690.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from adapter.errors import DecryptionError

MAX_ELEMENTS = 65_536  # a sender that chops 50 MB into 1,000 bytes each stays below
MAX_DEPTH = 16
MAX_RECIPIENTS = 64

INTEGER, OCTETS, NULL, OID, SEQUENCE, SET = 0x02, 0x04, 0x05, 0x06, 0x30, 0x31
_CONSTRUCTED, _CHOPPED = 0x20, 0x24
_BLOCK_TEXT = {0x0C: "utf-8", 0x1E: "utf-16-be", 0x1C: "utf-32-be"}  # all other strings: one octet a character


def oid(dotted: str) -> bytes:
    """The content octets of an object identifier."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = bytearray()
    for arc in (40 * first + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | (arc & 0x7F))
        out += bytes(reversed(septets))
    return bytes(out)


DATA, ENVELOPED_DATA = oid("1.2.840.113549.1.7.1"), oid("1.2.840.113549.1.7.3")
RSA_PKCS1, RSA_OAEP, MGF1 = oid("1.2.840.113549.1.1.1"), oid("1.2.840.113549.1.1.7"), oid("1.2.840.113549.1.1.8")
_P_SPECIFIED = oid("1.2.840.113549.1.1.9")
AES_256_CBC = oid("2.16.840.1.101.3.4.1.42")
_SHA1 = oid("1.3.14.3.2.26")
_HASHES: dict[bytes, hashes.HashAlgorithm] = {
    _SHA1: hashes.SHA1(),  # noqa: S303  (OAEP's default hash; its safety does not rest on collisions)
    oid("2.16.840.1.101.3.4.2.1"): hashes.SHA256(),
    oid("2.16.840.1.101.3.4.2.2"): hashes.SHA384(),
    oid("2.16.840.1.101.3.4.2.3"): hashes.SHA512(),
}


class Cipher(NamedTuple):
    """A content cipher in CBC mode: key and block in bytes."""

    name: str
    key_bytes: int
    block_bytes: int


TRIPLE_DES = Cipher("des-ede3-cbc", 24, 8)
CIPHERS = {
    oid("2.16.840.1.101.3.4.1.2"): Cipher("aes128-cbc", 16, 16),
    oid("2.16.840.1.101.3.4.1.22"): Cipher("aes192-cbc", 24, 16),
    AES_256_CBC: Cipher("aes256-cbc", 32, 16),
    oid("1.2.840.113549.3.7"): TRIPLE_DES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One RSA recipient: named by ``issuer`` (DER of the Name) and ``serial``, or by ``key_id`` (SKI).

    ``scheme`` is how the content key is wrapped; None for a way that we do not know (it may be another's).
    """

    issuer: bytes | None = None
    serial: int | None = None
    key_id: bytes | None = None
    scheme: padding.AsymmetricPadding | None
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Enveloped:
    """An EnvelopedData: who can open it, how, and views of the ciphertext's pieces in order."""

    recipients: tuple[Recipient, ...]
    cipher: Cipher
    iv: bytes
    pieces: tuple[memoryview, ...]

    @property
    def size_bytes(self) -> int:
        return sum(len(piece) for piece in self.pieces)


class Node(NamedTuple):
    """One BER element: its tag octet, where its content begins and ends, and where the next element begins."""

    tag: int
    start: int
    end: int
    after: int


class Walker:
    """Elements of BER or DER bytes, in bounds. Every element is looked at a bounded number of times."""

    def __init__(self, encoded: bytes | memoryview, *, elements: int = MAX_ELEMENTS) -> None:
        self.view = memoryview(encoded)
        self._left = elements
        self._ends: dict[int, int] = {}  # content start of an indefinite element -> where its end mark stands

    def root(self) -> Node:
        """The one element that the bytes are. Blanks and zeros after it are looked past."""
        node = self._node(0, len(self.view))
        if bytes(self.view[node.after : node.after + 64]).strip(b"\0\r\n\t "):
            raise DecryptionError("structure: something follows")
        return node

    def children(self, node: Node) -> Iterator[Node]:
        at = node.start
        while at < node.end:
            child = self._node(at, node.end)
            yield child
            at = child.after

    def octets(self, node: Node) -> bytes:
        return bytes(self.view[node.start : node.end])

    def pieces(self, node: Node, depth: int = 0) -> Iterator[memoryview]:
        """The octets of an OCTET STRING in order, whole or chopped; an implicit tag has been looked at already."""
        if not node.tag & _CONSTRUCTED:
            yield self.view[node.start : node.end]
            return
        if depth > 3:
            raise DecryptionError("structure: octets nested too deep")
        for child in self.children(node):
            if child.tag not in (OCTETS, _CHOPPED):
                raise DecryptionError("structure: not an octet string")
            yield from self.pieces(child, depth + 1)

    def _node(self, at: int, limit: int) -> Node:
        view = self.view
        if at + 2 <= limit and self._left > 0:  # short, as most elements are: no need to look further
            first, short = view[at], view[at + 1]
            after = at + 2 + short
            if short < 0x80 and after <= limit and first & 0x1F != 0x1F:
                self._left -= 1
                return Node(first, at + 2, after, after)
        tag, start, length = self._head(at, limit)
        if length is not None:
            after = start + length
            return Node(tag, start, after, after)
        end = self._ends.get(start)
        if end is None:
            end = self._find_end(start, limit)
        return Node(tag, start, end, end + 2)

    def _head(self, at: int, limit: int) -> tuple[int, int, int | None]:
        """Tag, content start and length (None: indefinite) of the element at ``at``, which must end by ``limit``."""
        self._left -= 1
        if self._left < 0:
            raise DecryptionError("size: too many elements")
        view = self.view
        if at + 2 > limit:
            raise DecryptionError("structure: cut")
        tag, length, start = view[at], view[at + 1], at + 2
        if tag & 0x1F == 0x1F:
            raise DecryptionError("structure: long tag")
        if length == 0x80:
            if not tag & _CONSTRUCTED:
                raise DecryptionError("structure: length")
            return tag, start, None
        if length > 0x80:
            count = length & 0x7F
            if count > 8 or start + count > limit:
                raise DecryptionError("structure: length")
            start, length = start + count, int.from_bytes(view[start : start + count], "big")
        if start + length > limit:
            raise DecryptionError("structure: cut")
        return tag, start, length

    def _find_end(self, start: int, limit: int) -> int:
        """Where the end mark of an indefinite element stands; the ends of those within it are noted on the way."""
        open_at, at = [start], start
        while True:
            tag, inside, length = self._head(at, limit)
            if tag == 0:
                if length:
                    raise DecryptionError("structure: end mark")
                self._ends[open_at.pop()] = at
                at = inside
                if not open_at:
                    return self._ends[start]
            elif length is None:
                if len(open_at) >= MAX_DEPTH:
                    raise DecryptionError("structure: nested too deep")
                open_at.append(inside)
                at = inside
            else:
                at = inside + length


def read_enveloped(encoded: bytes) -> Enveloped:
    """The EnvelopedData in ``encoded``. Raises DecryptionError for everything else."""
    walker = Walker(encoded)
    kind, wrapper = _exactly(walker, walker.root(), OID, 0xA0)
    if walker.octets(kind) != ENVELOPED_DATA:
        raise DecryptionError("structure: not enveloped-data")
    (body,) = _exactly(walker, wrapper, SEQUENCE)
    parts = [part for part in walker.children(body) if part.tag not in (0xA0, 0xA1)]  # certificates and attributes
    if [part.tag for part in parts] != [INTEGER, SET, SEQUENCE]:
        raise DecryptionError("structure: enveloped-data")
    recipients = tuple(_recipients(walker, parts[1]))
    cipher, iv, pieces = _content(walker, parts[2])
    return Enveloped(recipients=recipients, cipher=cipher, iv=iv, pieces=pieces)


def _exactly(walker: Walker, node: Node, *tags: int) -> list[Node]:
    if not node.tag & _CONSTRUCTED:
        raise DecryptionError("structure: not constructed")
    found = []
    for child in walker.children(node):
        found.append(child)
        if len(found) > len(tags) or child.tag != tags[len(found) - 1]:
            raise DecryptionError("structure: unexpected element")
    if len(found) != len(tags):
        raise DecryptionError("structure: element missing")
    return found


def _recipients(walker: Walker, node: Node) -> Iterator[Recipient]:
    """The RSA recipients; key agreement, passwords and the like ([1] to [4]) are others' business."""
    for number, entry in enumerate(walker.children(node)):
        if number >= MAX_RECIPIENTS:
            raise DecryptionError("size: too many recipients")
        if entry.tag == SEQUENCE:
            yield _recipient(walker, entry)


def _recipient(walker: Walker, entry: Node) -> Recipient:
    parts = list(walker.children(entry))
    if len(parts) != 4 or (parts[0].tag, parts[2].tag) != (INTEGER, SEQUENCE) or parts[3].tag not in (OCTETS, _CHOPPED):
        raise DecryptionError("structure: recipient")
    scheme, wrapped = _scheme(walker, parts[2]), b"".join(walker.pieces(parts[3]))
    if parts[1].tag in (0x80, 0xA0):
        return Recipient(key_id=b"".join(walker.pieces(parts[1])), scheme=scheme, wrapped=wrapped)
    if parts[1].tag != SEQUENCE:
        raise DecryptionError("structure: recipient")
    issuer, serial = _exactly(walker, parts[1], SEQUENCE, INTEGER)
    name = bytes(walker.view[parts[1].start : issuer.after])
    number = int.from_bytes(walker.octets(serial), "big", signed=True)
    return Recipient(issuer=name, serial=number, scheme=scheme, wrapped=wrapped)


def _algorithm(walker: Walker, node: Node) -> tuple[bytes, Node | None]:
    if node.tag != SEQUENCE:
        raise DecryptionError("structure: algorithm")
    parts = list(walker.children(node))
    if not 1 <= len(parts) <= 2 or parts[0].tag != OID:
        raise DecryptionError("structure: algorithm")
    parameters = parts[1] if len(parts) == 2 and parts[1].tag != NULL else None
    return walker.octets(parts[0]), parameters


def _scheme(walker: Walker, node: Node) -> padding.AsymmetricPadding | None:
    name, parameters = _algorithm(walker, node)
    if name == RSA_PKCS1 and parameters is None:
        return padding.PKCS1v15()
    return _oaep(walker, parameters) if name == RSA_OAEP else None


def _oaep(walker: Walker, parameters: Node | None) -> padding.AsymmetricPadding | None:
    """RSAES-OAEP-params; absent fields are SHA-1, MGF1 with SHA-1, and an empty label (RFC 4055 4.1)."""
    digest = masking = _HASHES.get(_SHA1)
    for field in walker.children(parameters) if parameters is not None else ():
        (inner,) = _exactly(walker, field, SEQUENCE)
        name, own = _algorithm(walker, inner)
        if field.tag == 0xA0:
            digest = _HASHES.get(name)
        elif field.tag == 0xA1 and name == MGF1 and own is not None:
            masking = _HASHES.get(_algorithm(walker, own)[0])
        elif field.tag != 0xA2 or name != _P_SPECIFIED or own is None or own.end > own.start:
            return None
    if digest is None or masking is None:
        return None
    return padding.OAEP(mgf=padding.MGF1(algorithm=masking), algorithm=digest, label=None)


def _content(walker: Walker, node: Node) -> tuple[Cipher, bytes, tuple[memoryview, ...]]:
    parts = list(walker.children(node))
    if len(parts) != 3 or parts[0].tag != OID or parts[2].tag not in (0x80, 0xA0):
        raise DecryptionError("structure: content")
    if walker.octets(parts[0]) != DATA:
        raise DecryptionError("structure: content type")
    name, parameters = _algorithm(walker, parts[1])
    cipher = CIPHERS.get(name)
    if cipher is None or parameters is None or parameters.tag != OCTETS:
        raise DecryptionError("algorithm: content")
    iv = walker.octets(parameters)
    pieces = tuple(piece for piece in walker.pieces(parts[2]) if len(piece))
    size = sum(len(piece) for piece in pieces)
    if len(iv) != cipher.block_bytes or not size or size % cipher.block_bytes:
        raise DecryptionError("structure: ciphertext")
    return cipher, iv, pieces


# --- names ------------------------------------------------------------------------------------------------------------


def issuer_and_serial(tbs_certificate: bytes) -> tuple[bytes, bytes]:
    """DER of the issuer and of the serial number, as the certificate has them: never written anew."""
    walker = Walker(tbs_certificate)
    root = walker.root()
    at, found = root.start, []
    for child in walker.children(root):
        found.append((child.tag, bytes(walker.view[at : child.after])))
        at = child.after
    fields = found[1:] if found[0][0] == 0xA0 else found  # [0] is the version
    return fields[2][1], fields[0][1]


def name_key(name: bytes) -> tuple[tuple[bytes, str], ...]:
    """A Name to compare by: senders write it anew with other string types, blanks, case or order (RFC 5280 7.1)."""
    walker = Walker(name, elements=2_000)
    found = []
    for relative in walker.children(walker.root()):
        for pair in walker.children(relative):
            parts = list(walker.children(pair))
            if len(parts) != 2:
                raise DecryptionError("structure: name")
            text = walker.octets(parts[1]).decode(_BLOCK_TEXT.get(parts[1].tag, "latin-1"), "replace")
            found.append((walker.octets(parts[0]), " ".join(text.split()).casefold()))
    return tuple(sorted(found))
