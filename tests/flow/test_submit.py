"""What submit settles before anything is stored: the key, the receiver, whose signature (P6, P14, P24)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from adapter import shapes, xmlio
from adapter.errors import ConflictError, RefusedError, SignatureError
from adapter.flow import outbound
from adapter.model.message import OutgoingMessage
from adapter.security import xmldsig
from adapter.simulator import world as place
from tests.journeys.rig import Rig, inquiry, referral

MakeRig = Callable[..., Rig]


def agree(rig: Rig, her_id: int, **changes: Any) -> None:
    """Our settings for a partner changed."""
    book = rig.adapter.parts.book()
    entry = book.entries[her_id]
    assert entry.agreement is not None
    changed = replace(entry, agreement=replace(entry.agreement, **changes))
    object.__setattr__(rig.adapter.parts, "book", lambda: replace(book, entries={**book.entries, her_id: changed}))


def stored(rig: Rig) -> int:
    return len(rig.adapter.list())


def signer_of(rig: Rig, message_id: str) -> str:
    """Who has signed the stored document; raises when nobody has."""
    document = xmlio.parse(rig.adapter.export(message_id, "a look"))
    return str(xmldsig.verify(document).certificate.subject.rfc4514_string())


# --- the key ----------------------------------------------------------------------------------------------------------


def test_p06_of_two_submits_with_one_key_at_the_same_moment_the_first_in_the_store_wins(rig: Rig) -> None:
    parts = rig.adapter.parts
    both = [outbound.prepare(parts, shapes.read(OutgoingMessage, referral())) for _ in range(2)]
    first, second = (outbound.store(parts, one, key="journal-1", input_digest="same") for one in both)
    assert (first, stored(rig)) == (second, 1)
    with pytest.raises(ConflictError, match=r"P6\.KEY"):
        outbound.store(parts, both[1], key="journal-1", input_digest="another")


def test_p06_a_finished_document_with_a_used_key_is_the_same_message_or_a_conflict(make_rig: MakeRig) -> None:
    first, second = make_rig(), make_rig()
    document = first.adapter.export(first.send(inquiry()), "test")
    other = first.adapter.export(first.send(referral()), "test")
    sent = second.adapter.send_document(document, key="k")
    assert second.adapter.send_document(document, key="k") == sent
    with pytest.raises(ConflictError, match=r"P6\.KEY"):
        second.adapter.send_document(other, key="k")
    assert stored(second) == 1


# --- the receiver -----------------------------------------------------------------------------------------------------


def test_p24_a_receiver_without_id_and_without_service_is_refused(rig: Rig) -> None:
    with pytest.raises(RefusedError, match=r"P24\.RECEIVER"):
        rig.send({**referral(), "receiver": {"municipality": "9901"}})
    assert stored(rig) == 0


@pytest.mark.parametrize(
    "document", [b"<a/>", b"no XML", b'<MsgHead xmlns="http://www.kith.no/xmlstds/msghead/2006-05-24"/>']
)
def test_a_finished_document_that_names_no_parties_is_refused(rig: Rig, document: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        rig.adapter.send_document(document)
    assert caught.value.findings
    assert stored(rig) == 0


# --- whose signature --------------------------------------------------------------------------------------------------


def test_p14_a_person_who_is_named_signs_where_nobody_has_to(rig: Rig) -> None:
    signer = {"key": "lege", "fnr": "11857120150", "profession": "LE"}
    assert "CN=Sol Vangsnes" in signer_of(rig, rig.send({**referral(), "signer": signer}))


def test_p14_the_company_signs_where_the_partner_wants_it_and_otherwise_nobody(rig: Rig) -> None:
    with pytest.raises(SignatureError, match=r"S01\.ABSENT"):
        signer_of(rig, rig.send(referral()))
    agree(rig, place.GRANLI_FRISKLIV, sign=True)
    assert "Solvang" in signer_of(rig, rig.send(referral()))


def test_p14_a_signature_that_is_wanted_and_cannot_be_given_is_refused(rig: Rig) -> None:
    agree(rig, place.GRANLI_FRISKLIV, sign=True)
    object.__setattr__(rig.adapter.parts.settings.tenant[0], "sign_with", None)
    with pytest.raises(RefusedError, match=r"P14\.KEY"):
        rig.send(referral())
    assert stored(rig) == 0
