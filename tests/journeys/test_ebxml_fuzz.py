# ruff: noqa: E501
"""Whatever a partner writes, the receiving journey answers it and never raises: generated damage at every depth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.ebxml.build import build
from adapter.ebxml.compose import acknowledgment
from adapter.ebxml.names import Kind
from adapter.ebxml.pack import pack_http
from adapter.ebxml.plaintext import build_plaintext
from adapter.ebxml.read import read, signed_references
from adapter.errors import AdapterError, DecryptionError
from adapter.model.process import national
from adapter.security import cms
from adapter.security.envelope_signature import sign_envelope
from adapter.xmlio import parse, serialise
from tests.journeys.bad_envelopes import SIGNATURE
from tests.journeys.clinic import CLINIC, SOFTWARE, EbxmlRig, beside
from tests.journeys.rig import letter

BOUNDED = settings(
    max_examples=25, deadline=5_000, suppress_health_check=[HealthCheck.too_slow], database=None, derandomize=True
)
PIECES = st.sampled_from(
    [
        b"", b"\r\n", b"\n\n", b"--b-1", b"--b-1--", b"Content-ID: <x>\r\n", b"Content-Type: text/xml\r\n", b"multipart/mixed",
        b"base64", b"<a/>", b"</eb:MessageHeader>", b"<eb:PartyId/>", b"<!-- -->", b"<![CDATA[x]]>", b"&#0;", b"&lt;", b"\x00",
        b"\xff\xfe", b"\xc3\x28", b"=", b'"', b"'", b">", b"<", b"xmlns:eb=''", b"cid:", b"8091101", b"99999999999999999999",
        b"Ping", b"StatusRequest", b"Acknowledgment", b"MessageError", b"2026-13-45T99:99:99Z", b"9999-12-31T23:59:59Z",
    ]
)  # fmt: skip


def edits(most: int = 4) -> st.SearchStrategy[list[tuple[float, int, bytes]]]:
    """Where (as a share of the length), how much goes, and what comes instead."""
    one = st.tuples(st.floats(0, 1), st.integers(0, 40), st.one_of(PIECES, st.binary(max_size=8)))
    return st.lists(one, min_size=1, max_size=most)


def damaged(octets: bytes, found: list[tuple[float, int, bytes]]) -> bytes:
    for share, length, new in found:
        at = int(share * len(octets))
        octets = octets[:at] + new + octets[at + length :]
    return octets


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EbxmlRig]:
    with beside(tmp_path_factory.mktemp("fuzz"), EbxmlRig) as made:
        yield made


@pytest.fixture(scope="module")
def sample(rig: EbxmlRig) -> tuple[bytes, Any]:
    return rig.clinic.note(letter(rig, sender=CLINIC))


def answered(rig: EbxmlRig, body: bytes, headers: Any) -> None:
    """One of the answers there are, with what belongs to it kept."""
    reply = rig.adapter.receive_envelope(body, headers)
    assert reply.status in (200, 204, 500)
    assert bool(reply.body) == (reply.status != 204)
    assert reply.message_id is not None
    roles = [one["role"] for one in rig.adapter.show(reply.message_id)["payloads"]]
    assert "envelope" in roles
    assert ("signal" in roles) or not reply.body


@BOUNDED
@given(found=edits())
def test_a_damaged_body_is_answered(rig: EbxmlRig, sample: Any, found: Any) -> None:
    whole = pack_http(sample[0], [sample[1]], boundary="b-1", content_id="soap@clinic")
    answered(rig, damaged(whole.body(), found), whole.headers)


@BOUNDED
@given(found=edits(2), name=st.sampled_from(["Content-Type", "Content-ID", "SOAPAction", "MIME-Version"]))
def test_a_damaged_head_is_answered(rig: EbxmlRig, sample: Any, found: Any, name: str) -> None:
    whole = pack_http(sample[0], [sample[1]], boundary="b-1", content_id="soap@clinic")
    fields = [
        (field, damaged(value.encode(), found).decode("latin-1") if field == name else value)
        for field, value in whole.headers
    ]
    answered(rig, whole.body(), fields)


@BOUNDED
@given(found=edits())
def test_a_damaged_envelope_is_answered(rig: EbxmlRig, sample: Any, found: Any) -> None:
    whole = pack_http(damaged(sample[0], found), [sample[1]], boundary="b-1", content_id="soap@clinic")
    answered(rig, whole.body(), whole.headers)


def questions_and_receipts(rig: EbxmlRig, sample: Any) -> list[bytes]:
    clinic = rig.clinic
    receipt = acknowledgment(
        read(parse(sample[0])),
        signed_references(parse(sample[0])),
        message_id=clinic.new_id(),
        now=rig.clock(),
        software=SOFTWARE,
    )
    asked = [clinic.question(), clinic.question(Kind.STATUS_REQUEST, clinic.new_id())]
    said = clinic._reply("answer", asked[0])
    assert said is not None
    return [serialise(build(one)) for one in [*asked, receipt]] + [SIGNATURE.sub(b"", said[1])]


@BOUNDED
@given(found=edits(3), number=st.integers(0, 4))
def test_damaged_words_under_a_sound_signature_are_answered(
    rig: EbxmlRig, sample: Any, found: Any, number: int
) -> None:
    """The partner itself signs nonsense: what comes after verification is reached."""
    unsigned = [SIGNATURE.sub(b"", sample[0]), *questions_and_receipts(rig, sample)][number]
    body = unsigned.index(b"<eb:")
    try:
        root = parse(unsigned[:body] + damaged(unsigned[body:], found))
        parts = {sample[1].content_id: sample[1].content} if number == 0 else {}
        envelope = sign_envelope(root, rig.clinic.signing, parts)
    except AdapterError:
        return  # not even the partner can sign it
    attached = [sample[1]] if number == 0 else []
    whole = pack_http(envelope, attached, boundary="b-1", content_id="soap@clinic")
    answered(rig, whole.body(), whole.headers)


@BOUNDED
@given(found=edits())
def test_damaged_ciphertext_under_a_sound_signature_is_answered(rig: EbxmlRig, sample: Any, found: Any) -> None:
    content = damaged(sample[1].content, found)
    with suppress(DecryptionError):
        cms.decrypt(content, [rig.opening])
    attached = replace(sample[1], content=content)
    root = parse(SIGNATURE.sub(b"", sample[0]).replace(b"<eb:MessageId>", b"<eb:MessageId>x"))
    envelope = sign_envelope(root, rig.clinic.signing, {attached.content_id: content})
    whole = pack_http(envelope, [attached], boundary="b-1", content_id="soap@clinic")
    answered(rig, whole.body(), whole.headers)


@settings(BOUNDED, max_examples=12)
@given(found=edits(), form=st.sampled_from(["raw", "mime"]))
def test_a_damaged_document_is_taken_and_judged_without_raising(
    rig: EbxmlRig, sample: Any, found: Any, form: str
) -> None:
    plain = damaged(build_plaintext(letter(rig, sender=CLINIC), form=form), found)
    if not plain:
        return
    envelope, attached = rig.clinic.envelope(b"<a/>", national("DIALOG_NOTAT"))
    attached = replace(attached, content=cms.encrypt(plain, rig.opening.certificate))
    root = parse(SIGNATURE.sub(b"", envelope))
    signed = sign_envelope(root, rig.clinic.signing, {attached.content_id: attached.content})
    whole = pack_http(signed, [attached], boundary="b-1", content_id="soap@clinic")
    answered(rig, whole.body(), whole.headers)
    rig.adapter.run_once()
    assert "received" not in rig.steps()
