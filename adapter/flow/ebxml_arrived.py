"""What came over the ebXML road and what goes back: the words that its journeys share, and the events about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from adapter.config import TenantSettings
from adapter.ebxml.decide import AnswerKind
from adapter.ebxml.opening import Opened
from adapter.ebxml.pack import pack_http
from adapter.ebxml.words import Envelope
from adapter.flow.alarms import UNVERIFIED, raise_alarm
from adapter.flow.ebxml_keys import company_signer
from adapter.flow.ebxml_seal import seal
from adapter.flow.parts import Parts
from adapter.store import envelopes, journal


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeAnswer:
    """The HTTP response to a received envelope. ``kind`` is the answer's kind, ``message_id`` where it is kept."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    kind: AnswerKind = AnswerKind.NONE
    message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """An envelope whose raw bytes are stored."""

    message_id: str
    seq: int
    tenant: TenantSettings
    opened: Opened
    road: str
    party: int | None  # our address that it names; None: it names none of ours


def sign(parts: Parts, arrived: Arrived, words: Envelope) -> bytes:
    """A signal of ours, signed by the company's key as every envelope is (HIS 1037 5.5)."""
    return seal(words, company_signer(parts, arrived.tenant), {})


def respond(parts: Parts, kind: AnswerKind, signal: bytes, message_id: str) -> EnvelopeAnswer:
    """The stored signal in a fresh wrapping; 204 when there is nothing to say."""
    if not signal:
        return EnvelopeAnswer(status=204, kind=kind, message_id=message_id)
    packed = pack_http(signal, [], boundary="none", content_id=f"envelope-{parts.new_id()}@adapter")
    status = 500 if kind is AnswerKind.SOAP_FAULT else 200
    return EnvelopeAnswer(status=status, headers=packed.headers, body=packed.body(), kind=kind, message_id=message_id)


def tell(parts: Parts, arrived: Arrived, kind: str, detail: Mapping[str, object], *, verified: bool = False) -> None:
    """An event about the envelope itself: codes and ids, never words of the message (P21).

    ``verified``: its sender has signed it, so it does not count as a stranger's any more.
    """
    with parts.store.transaction() as db:
        journal.add_event(
            db,
            at=parts.store.now_us(),
            tenant=arrived.tenant.name,
            kind=kind,
            message_id=arrived.message_id,
            detail=detail,
        )
        if verified:
            envelopes.set_verified(db, arrived.seq)


def tell_answer(
    parts: Parts,
    arrived: Arrived,
    what: str,
    kind: AnswerKind,
    rules: Sequence[str],
    *,
    verified: bool,
    of: str | None = None,
) -> None:
    """The event of an answer: its kind, and the numbered rules that failed."""
    detail: dict[str, object] = {"answer": kind.value, "rules": list(dict.fromkeys(rules))[:20]}
    tell(parts, arrived, what, detail if of is None else {**detail, "of": of}, verified=verified)


def tell_no_room(parts: Parts) -> None:
    """Something was not kept, as too much is held of senders that nobody has vouched for: one alarm for all of them."""
    text = "more than may be is held of senders who could not be verified; others of them are told to come back later"
    raise_alarm(parts, UNVERIFIED, text)
