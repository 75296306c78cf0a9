"""An envelope that is filled into its outline is, to the byte, the one that is built by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.ebxml.build import build
from adapter.ebxml.names import Kind, Road
from adapter.ebxml.outline import outline_of
from adapter.ebxml.words import Envelope, Participant, PartyId
from adapter.errors import AdapterError, InputError, RefusedError
from adapter.flow import ebxml_seal
from adapter.flow.ebxml_seal import seal
from adapter.security.demo_ca import DemoCa
from adapter.security.envelope_signature import sign_envelope, verify_envelope
from adapter.security.keys import SigningKey
from adapter.xmlio import parse
from tests.ebxml.test_envelope import EVERY_KIND, NOW, payload

PARTS = {"document@x": b"octets"}


@pytest.fixture(scope="module")
def signer() -> SigningKey:
    return DemoCa.create().issue_company("Synthetic", "974760673")


def plainly(words: Envelope, signer: SigningKey, parts: dict[str, bytes]) -> bytes:
    return sign_envelope(build(words), signer, parts)


def others(words: Envelope, number: int) -> Envelope:
    """The same with other ids, times and digests."""
    later = NOW + timedelta(seconds=number)
    changed = replace(
        words,
        message_id=f"{number}@x.example",
        conversation_id=f"talk-{number}",
        timestamp=later,
        ref_to_message_id=words.ref_to_message_id and f"about-{number}@x",
        time_to_live=words.time_to_live and later + timedelta(hours=1),
        asked_message_id=words.asked_message_id and f"asked-{number}@x",
    )
    if words.receipt is not None:
        references = tuple(replace(one, digest="A" * 40 + f"{number:04}") for one in words.receipt.references)
        changed = replace(changed, receipt=replace(words.receipt, references=references, timestamp=later))
    if words.manifest:
        changed = replace(changed, manifest=(replace(words.manifest[0], href=f"cid:part-{number}@x"),))
    return changed


@pytest.mark.parametrize("name", EVERY_KIND)
def test_a_filled_outline_is_the_envelope_that_is_built_by_itself(name: str, signer: SigningKey) -> None:
    for number in range(4):
        words = others(EVERY_KIND[name], number)
        assert seal(words, signer, PARTS) == plainly(words, signer, PARTS)


def test_the_second_envelope_to_a_partner_is_not_built_again(signer: SigningKey) -> None:
    seal(others(payload(), 1), signer, PARTS)
    known = ebxml_seal._pattern.cache_info()
    seal(others(payload(), 2), signer, PARTS, None)
    after = ebxml_seal._pattern.cache_info()
    assert (after.hits, after.misses) == (known.hits + 1, known.misses)


WORD = st.text(st.sampled_from("aB0.-@&<>\"'\r\n\t æ~"), max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(EVERY_KIND)), WORD, WORD, WORD)
def test_odd_words_are_written_or_refused_as_they_are_without_an_outline(
    signer: SigningKey, name: str, one: str, two: str, three: str
) -> None:
    words = EVERY_KIND[name]
    words = replace(words, message_id=one or words.message_id, conversation_id=two, cpa_id=three or "1_2")
    if words.receipt is not None:
        words = replace(words, receipt=replace(words.receipt, ref_to_message_id=two))
    try:
        expected: object = plainly(words, signer, {})
    except AdapterError as error:
        expected = (error.code, error.where)
    try:
        found: object = seal(words, signer, {})
    except AdapterError as error:
        found = (error.code, error.where)
    assert found == expected


def test_a_partners_words_may_look_like_ours(signer: SigningKey) -> None:
    outline = outline_of(payload())
    assert outline is not None
    sender = Participant((PartyId(outline.stand_ins[0].decode()), PartyId("974760673", "ENH")), "role")
    for words in (replace(payload(), sender=sender), replace(payload(), description=outline.stand_ins[1].decode())):
        assert seal(words, signer, PARTS) == plainly(words, signer, PARTS)


def test_what_is_filled_in_is_signed(signer: SigningKey) -> None:
    for number in range(2):
        found = verify_envelope(parse(seal(others(payload(), number), signer, PARTS)), PARTS)
        assert f"{number}@x.example".encode() in found.octets


def test_an_envelope_that_breaks_a_rule_is_refused_each_time(signer: SigningKey) -> None:
    for number in range(2):
        words = others(payload(), number)
        words = replace(words, manifest=tuple(replace(one, version=None) for one in words.manifest or ()))
        with pytest.raises(RefusedError, match="framework"):
            seal(words, signer, PARTS, Road.SMTP)
        assert seal(words, signer, PARTS) == plainly(words, signer, PARTS)


def test_the_rules_of_the_road_are_those_of_the_outline(signer: SigningKey) -> None:
    synchronous = EVERY_KIND["payload over HTTP"]
    assert seal(synchronous, signer, PARTS, Road.HTTP) == plainly(synchronous, signer, PARTS)
    with pytest.raises(RefusedError):
        seal(synchronous, signer, PARTS, Road.SMTP)


def test_what_cannot_be_built_tells_its_word(signer: SigningKey) -> None:
    with pytest.raises(InputError) as told:
        seal(replace(payload(), timestamp=NOW.replace(tzinfo=None)), signer, PARTS)
    assert told.value.where == "timestamp"
    with pytest.raises(InputError):
        seal(replace(EVERY_KIND["Ping"], kind=Kind.PONG), signer, {})
