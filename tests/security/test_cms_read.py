"""The walker over BER: what senders write in several forms is read, all else is the one failure, in little time."""

from __future__ import annotations

import os
import random
import sys
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.errors import DecryptionError
from adapter.security import cms
from adapter.security.cms_read import (
    MAX_ELEMENTS,
    MAX_RECIPIENTS,
    OCTETS,
    SEQUENCE,
    SET,
    Walker,
    name_key,
    oid,
    read_enveloped,
)
from adapter.security.cms_write import element, head, read_written
from adapter.security.demo_ca import DemoCa
from adapter.security.keys import SigningKey
from tests.security.test_cms import ENCRYPTS, SAID

CONTENT = os.urandom(10_000)


@pytest.fixture(scope="module")
def ours(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> SigningKey:
    return ca.issue_company("Prøvekommunen", "974760673", key=leaf_key, usage=ENCRYPTS)


@pytest.fixture(scope="module")
def made(ours: SigningKey) -> bytes:
    return cms.encrypt(CONTENT, ours.certificate)


def reason(data: bytes) -> str:
    with pytest.raises(DecryptionError) as caught:
        read_enveloped(data)
    return caught.value.reason


def outcome(data: bytes, key: SigningKey) -> str | None:
    """What is said of the message; None when it is opened. Any other exception goes through."""
    try:
        cms.decrypt(data, [key], allow_3des=True)
    except DecryptionError as error:
        return str(error)
    return None


# --- the form that we write -------------------------------------------------------------------------------------------


def by_form_and_by_walking(data: bytes, key: SigningKey) -> tuple[object, object]:
    """What each way reads: the wrapped key, the cipher, its start value and its octets; None for nothing."""
    found = read_written(data, key.certificate)
    try:
        walked = read_enveloped(data)
    except DecryptionError:
        walked = None
    mine, all_of_it = (
        one and ([entry.wrapped for entry in one.recipients], one.cipher, one.iv, b"".join(one.pieces))
        for one in (found, walked)
    )
    return mine, all_of_it


@pytest.mark.parametrize("size", [1, 15, 16, 100, 127, 128, 200, 255, 256, 65_000, 66_000, 17_000_000])
def test_what_we_write_is_recognised_by_its_form_and_read_as_by_walking(ours: SigningKey, size: int) -> None:
    mine, walked = by_form_and_by_walking(cms.encrypt(bytes(size), ours.certificate), ours)
    assert mine is not None
    assert mine == walked


def test_another_form_of_the_same_is_left_to_walking(ours: SigningKey, made: bytes) -> None:
    assert read_written(rewritten(made), ours.certificate) is None
    assert read_written(made + b"\n", ours.certificate) is None
    assert read_written(made, ours.certificate) is not None


def test_whatever_octet_is_changed_the_form_reads_no_more_than_walking_does(ours: SigningKey) -> None:
    made, recognised = cms.encrypt(b"x" * 40, ours.certificate), 0
    for at in range(len(made)):
        for change in (1, 2, 0x80, 0x7F):
            data = bytearray(made)
            data[at] ^= change
            mine, walked = by_form_and_by_walking(bytes(data), ours)
            assert mine in (None, walked)
            recognised += mine is not None
    assert recognised > 1000  # in the wrapped key, the start value and the ciphertext


# --- other forms of the same ------------------------------------------------------------------------------------------


def endless(tag: int, *contents: bytes) -> bytes:
    return bytes([tag, 0x80]) + b"".join(contents) + b"\0\0"


def rewritten(data: bytes, wrap: object = endless, step: int = 1000) -> bytes:
    """The same EnvelopedData in BER: indefinite lengths everywhere, the ciphertext in pieces of ``step``."""

    def write(walker: Walker, node: object, depth: int) -> bytes:
        tag, start, end, _ = node  # type: ignore[misc]
        if tag == 0x80 and depth == 4:
            view = walker.view[start:end]
            return endless(0xA0, *[element(OCTETS, bytes(view[at : at + step])) for at in range(0, len(view), step)])
        if tag & 0x20:
            return endless(tag, *[write(walker, child, depth + 1) for child in walker.children(node)])  # type: ignore[arg-type]
        return element(tag, bytes(walker.view[start:end]))

    walker = Walker(data)
    return write(walker, walker.root(), 0)


@pytest.mark.parametrize("step", [7, 16, 1000, 1024, 20_000])
def test_indefinite_lengths_and_chopped_octets_are_read(ours: SigningKey, made: bytes, step: int) -> None:
    written = rewritten(made, step=step)
    assert len(written) > len(made)
    assert cms.decrypt(written, [ours]) == CONTENT


def test_pieces_within_pieces_are_read_down_to_a_depth() -> None:
    inner = element(0x24, element(OCTETS, b"ab"), element(OCTETS, b"c"))
    walker = Walker(element(0x24, inner, element(OCTETS, b"d")))
    assert b"".join(walker.pieces(walker.root())) == b"abcd"
    for _ in range(5):
        inner = element(0x24, inner)
    walker = Walker(inner)
    with pytest.raises(DecryptionError):
        list(walker.pieces(walker.root()))


def test_a_longer_length_than_needed_is_read() -> None:
    walker = Walker(b"\x04\x84\0\0\0\x02ab")
    assert walker.octets(walker.root()) == b"ab"


def test_blanks_after_the_message_are_looked_past_and_nothing_else(made: bytes) -> None:
    assert read_enveloped(made + b"\r\n\0").size_bytes == read_enveloped(made).size_bytes
    assert reason(made + b"x") == "structure: something follows"


def test_a_name_is_the_same_in_another_string_type_order_and_case() -> None:
    def name(*pairs: tuple[str, int, bytes]) -> bytes:
        inside = [
            element(SET, element(SEQUENCE, element(6, oid(kind)), element(tag, text))) for kind, tag, text in pairs
        ]
        return element(SEQUENCE, *inside)

    first = name(("2.5.4.6", 0x13, b"NO"), ("2.5.4.3", 0x0C, "Prøve CA".encode()))
    assert name_key(first) == name_key(
        name(("2.5.4.3", 0x1E, "PRØVE  ca".encode("utf-16-be")), ("2.5.4.6", 0x0C, b"no"))
    )
    assert name_key(first) != name_key(name(("2.5.4.6", 0x13, b"NO"), ("2.5.4.3", 0x0C, b"Another")))
    with pytest.raises(DecryptionError):
        name_key(element(SEQUENCE, element(SET, element(SEQUENCE, element(6, b"\x55")))))


@pytest.mark.parametrize(
    ("dotted", "octets"),
    [
        ("1.2.840.113549.1.7.3", "2a864886f70d010703"),
        ("2.16.840.1.101.3.4.1.42", "60864801650304012a"),
        ("2.5.4.3", "550403"),
    ],
)
def test_object_identifiers_are_written_as_x690_says(dotted: str, octets: str) -> None:
    assert oid(dotted).hex() == octets


# --- what is refused --------------------------------------------------------------------------------------------------

CUT = [
    b"",
    b"\x30",
    b"\x30\x82",
    b"\x30\x89" + b"\x01" * 9,
    b"\x30\x80",
    b"\x30\x80\0",
    b"\x04\x80\0\0",
    b"\x1f\x01\x00",
    b"\x30\x80\0\x01\0",
    b"<xml/>",
    b"\0" * 100,
    b"\x30\0",
    b"\x04\x02ab",
]


@pytest.mark.parametrize("data", CUT, ids=lambda data: data[:8].hex())
def test_what_is_no_ber_is_refused(data: bytes) -> None:
    assert reason(data).startswith("structure")


def test_every_truncation_is_refused(ours: SigningKey, made: bytes) -> None:
    short = cms.encrypt(b"x" * 20, ours.certificate)
    for data in (short, rewritten(short)):
        for end in range(len(data)):
            with pytest.raises(DecryptionError):
                cms.decrypt(data[:end], [ours])


def test_every_flipped_bit_gives_the_one_failure_or_other_octets(ours: SigningKey) -> None:
    """CBC alone does not notice all of them: the envelope's signature does, and comes first."""
    made = cms.encrypt(b"x" * 20, ours.certificate)
    for at in range(len(made)):
        for bit in (0, 3, 7) if at % 7 == 0 else (at % 8,):
            data = bytearray(made)
            data[at] ^= 1 << bit
            assert outcome(bytes(data), ours) in (None, SAID)


def test_the_parts_of_an_enveloped_data_must_be_in_their_order(made: bytes) -> None:
    walker = Walker(made)
    kind, wrapper = walker.children(walker.root())
    (body,) = walker.children(wrapper)
    parts = [bytes(made[a:b]) for a, b in spans(walker, body)]
    outer = element(6, walker.octets(kind))

    def rebuilt(*some: bytes) -> bytes:
        return element(SEQUENCE, outer, element(0xA0, element(SEQUENCE, *some)))

    assert read_enveloped(rebuilt(parts[0], b"\xa0\0", *parts[1:], b"\xa1\0")).cipher.name == "aes256-cbc"
    for wrong in (parts[1:], parts[:2], parts[::-1], [*parts, parts[0]], []):
        assert reason(rebuilt(*wrong)) == "structure: enveloped-data"
    many = element(
        SET, *[bytes(made[a:b]) for a, b in spans(walker, list(walker.children(body))[1])] * (MAX_RECIPIENTS + 1)
    )
    assert reason(rebuilt(parts[0], many, parts[2])) == "size: too many recipients"


def spans(walker: Walker, node: object) -> list[tuple[int, int]]:
    at, found = node.start, []  # type: ignore[attr-defined]
    for child in walker.children(node):  # type: ignore[arg-type]
        found.append((at, child.after))
        at = child.after
    return found


@pytest.mark.parametrize(
    "content",
    [
        [element(6, oid("1.2.840.113549.1.7.1"))],
        [element(6, oid("1.2.840.113549.1.7.2")), element(SEQUENCE), element(0x80)],
        [element(6, oid("1.2.840.113549.1.7.1")), element(4), element(0x80)],
        [element(6, oid("1.2.840.113549.1.7.1")), element(SEQUENCE), element(0x80)],
        [element(6, oid("1.2.840.113549.1.7.1")), element(SEQUENCE, element(4), element(4)), element(0x80)],
        [
            element(6, oid("1.2.840.113549.1.7.1")),
            element(SEQUENCE, element(6, oid("2.16.840.1.101.3.4.1.42")), element(4, b"short")),
            element(0x80, bytes(16)),
        ],
        [
            element(6, oid("1.2.840.113549.1.7.1")),
            element(SEQUENCE, element(6, oid("2.16.840.1.101.3.4.1.42")), element(4, bytes(16))),
            element(0x80, bytes(15)),
        ],
    ],
    ids=["short", "signed-data", "no algorithm", "empty algorithm", "odd algorithm", "short iv", "no whole block"],
)
def test_a_content_of_another_form_is_refused(content: list[bytes]) -> None:
    body = element(SEQUENCE, element(2, b"\0"), element(SET), element(SEQUENCE, *content))
    assert reason(element(SEQUENCE, element(6, oid("1.2.840.113549.1.7.3")), element(0xA0, body)))


@pytest.mark.parametrize(
    "entry",
    [
        [element(2, b"\0")],
        [element(2, b"\0"), element(4), element(SEQUENCE, element(6, b"\x2a")), element(4)],
        [element(2, b"\0"), element(SEQUENCE), element(SEQUENCE, element(6, b"\x2a")), element(4)],
        [element(2, b"\0"), element(0x80), element(4), element(4)],
        [element(2, b"\0"), element(0x80), element(SEQUENCE), element(4)],
    ],
    ids=["short", "no identifier", "empty issuer and serial", "no algorithm", "empty algorithm"],
)
def test_a_recipient_of_another_form_is_refused(entry: list[bytes]) -> None:
    body = element(SEQUENCE, element(2, b"\0"), element(SET, element(SEQUENCE, *entry)), element(SEQUENCE))
    assert reason(element(SEQUENCE, element(6, oid("1.2.840.113549.1.7.3")), element(0xA0, body)))


HOSTILE = {
    "many empty elements": head(SEQUENCE, 1_000_000) + b"\x04\0" * 500_000,
    "deep and endless": b"\x30\x80" * 500_000,
    "deep and definite": b"".join(head(SEQUENCE, 1_000_000 - 5 * n) for n in range(200_000))[:1_000_000],
    "endless and empty": b"\x30\x80" + b"\x30\x80\0\0" * 250_000 + b"\0\0",
    "endless octets": b"\x24\x80" + b"\x04\x01x" * 333_000 + b"\0\0",
    "a length beyond all": b"\x30\x88" + b"\xff" * 8 + b"\0" * 1_000_000,
    "zeros": b"\0" * 1_000_000,
    "alternating forms": b"\x30\x80" + b"\x30\x84\0\x0f\0\0\x30\x80" * 100_000,
}


@pytest.mark.cost
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_megabyte_is_refused_at_once(kind: str) -> None:
    data = HOSTILE[kind]
    best = 1.0
    for _ in range(3):
        begin = time.process_time()
        assert reason(data)
        best = min(best, time.process_time() - begin)
    assert best < (0.1 if sys.gettrace() is None else 0.5)  # measuring coverage takes its time


def test_many_pieces_of_ciphertext_are_bounded() -> None:
    walker = Walker(b"\x24\x80" + b"\x04\x01x" * MAX_ELEMENTS + b"\0\0")
    with pytest.raises(DecryptionError, match="cannot be decrypted"):
        list(walker.pieces(walker.root()))


# --- anything at all --------------------------------------------------------------------------------------------------


@settings(max_examples=400, deadline=500, derandomize=True)
@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused_and_never_anything_else(data: bytes) -> None:
    with pytest.raises(DecryptionError):
        read_enveloped(data)


TREES = st.recursive(
    st.builds(element, st.sampled_from([2, 4, 5, 6, 0x80, 0]), st.binary(max_size=20)),
    lambda inner: st.builds(
        lambda tag, parts, open_end: endless(tag, *parts) if open_end else element(tag, *parts),
        st.sampled_from([0x30, 0x31, 0x24, 0xA0, 0xA1]),
        st.lists(inner, max_size=4),
        st.booleans(),
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=500, derandomize=True)
@given(TREES)
def test_any_tree_of_elements_is_walked_or_refused(data: bytes) -> None:
    def walk(walker: Walker, node: object) -> None:
        for child in walker.children(node):  # type: ignore[arg-type]
            assert node.start < child.after <= node.end  # type: ignore[attr-defined]
            if child.tag & 0x20:
                walk(walker, child)

    walker = Walker(data)
    try:
        root = walker.root()
        if root.tag & 0x20:
            walk(walker, root)
    except DecryptionError:
        return
    assert not data[root.after :].strip(b"\0")  # an end mark within may end it early


@settings(max_examples=300, deadline=500, derandomize=True)
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 6))
def test_spoiled_messages_give_the_one_failure_or_octets(
    seed: int, changes: int, ours_and_made: tuple[SigningKey, bytes]
) -> None:
    key, good = ours_and_made
    luck, data = random.Random(seed), bytearray(good)
    for _ in range(changes):
        at = luck.randrange(min(len(data), 400))
        kind = luck.randrange(3)
        if kind == 0:
            data[at] = luck.randrange(256)
        elif kind == 1:
            del data[at : at + luck.randrange(1, 5)]
        else:
            data[at:at] = luck.randbytes(luck.randrange(1, 5))
    assert outcome(bytes(data), key) in (None, SAID)


@pytest.fixture(scope="module")
def ours_and_made(ours: SigningKey) -> tuple[SigningKey, bytes]:
    return ours, cms.encrypt(b"x" * 100, ours.certificate)
