"""What is kept of one sender's SignedInfo never changes what the next one says."""

from __future__ import annotations

from base64 import b64encode

import pytest

from adapter import xmlio
from adapter.errors import EnvelopeSignatureError, UnreadableError
from adapter.security import envelope_profile
from adapter.security.envelope_profile import read_envelope_plan
from adapter.security.envelope_signature import sign_envelope, verify_envelope
from adapter.security.keys import SigningKey
from tests.security.envelopes import GOOD, Envelope, unsigned
from tests.security.oracles import DS

NAMES = ["part@test", "stand-in-0@template", "stand-in-1@template", "with%40escape", "a", "b" * 250]


def plans(signed: bytes) -> list[envelope_profile.EnvelopePlan]:
    """What is read with a template that is there, and what is read without any."""
    [signature] = list(xmlio.parse(signed).iter(f"{{{DS}}}Signature"))
    read = [read_envelope_plan(signature, True) for _ in range(2)]
    whole = envelope_profile._MAX_KEPT_VALUES
    envelope_profile._MAX_KEPT_VALUES = 0
    try:
        return [*read, read_envelope_plan(signature, True)]
    finally:
        envelope_profile._MAX_KEPT_VALUES = whole


def judged(signature: xmlio.Element) -> object:
    try:
        return read_envelope_plan(signature, False)
    except EnvelopeSignatureError as error:
        return error.rule, str(error)


def test_a_kept_template_judges_every_change_as_reading_it_all_does(
    company: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = GOOD.signed(company, parts={"part@test": b"one"}).encode()
    start, end = signed.index(b"<ds:Signature "), signed.index(b"</ds:Signature>")
    by_template = counted = 0
    for at in range(start, end, 3):
        for change in (b"A", b" ", b"\n", b"=", b"/", b"&#13;", b""):
            try:
                root = xmlio.parse(signed[:at] + change + signed[at + 1 :])
            except UnreadableError:
                continue
            signature = next(root.iter(f"{{{DS}}}Signature"), None)
            if signature is None:
                continue
            counted += 1
            inherited = tuple(envelope_profile.inherited_by(signature))
            by_template += envelope_profile._by_template(envelope_profile.written(signature), inherited) is not None
            quick = judged(signature)
            with monkeypatch.context() as patch:
                patch.setattr(envelope_profile, "_MAX_KEPT_BYTES", 0)
                assert judged(signature) == quick
    assert by_template > counted // 10


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("other", NAMES[:3], ids=range(3))
def test_a_kept_template_reads_as_reading_it_all_does(company: SigningKey, name: str, other: str) -> None:
    parts = {name: b"one", other: b"two", "c@d": b"three"}
    signed = GOOD.signed(company, parts=parts).encode()
    first, again, plain = plans(signed)
    assert first == plain
    assert again == plain
    assert {part.content_id for part in plain.parts} == {*parts}


def test_a_digest_of_another_envelope_is_refused(company: SigningKey) -> None:
    one, other = {"part@test": b"one"}, {"part@test": b"two"}
    for parts in (one, other, one):
        assert verify_envelope(xmlio.parse(sign_envelope(unsigned(), company, parts)), parts).covered[1:]
    with pytest.raises(EnvelopeSignatureError):
        verify_envelope(xmlio.parse(sign_envelope(unsigned(), company, one)), other)


@pytest.mark.parametrize("blank", ["", "\n", " "], ids=["plain", "line end", "blank"])
def test_a_sender_who_writes_our_stand_in_is_read_as_written(company: SigningKey, blank: str) -> None:
    stand_in = b64encode(b"stand-in of a digest %011d" % 0).decode()
    forged = stand_in[:20] + blank + stand_in[20:]
    method = '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod>'
    reference = f'<ds:Reference URI="cid:part@test">{method}<ds:DigestValue>{forged}</ds:DigestValue></ds:Reference>'
    first, again, plain = plans(GOOD.signed(company, part_references=reference).encode())
    assert first == again == plain
    assert plain.parts[0].digest == b"stand-in of a digest %011d" % 0


def test_two_references_to_one_part_are_refused_by_a_kept_template_too(company: SigningKey) -> None:
    good = Envelope(parts={"a@b": b"1", "c@d": b"2"})
    plans(good.signed(company).encode())
    twice = good.part_reference("a@b", b"1") * 2
    for _ in range(2):
        with pytest.raises(EnvelopeSignatureError):
            verify_envelope(good.parsed(company, part_references=twice), {"a@b": b"1"})
