"""In over ebXML: an envelope comes, one signal goes back; the document goes the ordinary way in.

1 keep the raw bytes   2 open   3 a signal? (``ebxml_proof``; it is never acknowledged)   4 verify, decrypt, judge
5 duplicate → the stored signal again; same id, other content → conflict   6 one commit: row, document, Acknowledgment
The business content is judged afterwards, by ``inbound.resume``: the Acknowledgment says only that it arrived.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import adapter.xmlio as xmlio
from adapter.config import TenantSettings
from adapter.ebxml.build import build, build_fault
from adapter.ebxml.check_register import check_register
from adapter.ebxml.compose import acknowledgment, message_error
from adapter.ebxml.decide import Answer, AnswerKind, fault_error
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import Opened, judge, open_message
from adapter.ebxml.pack import pack_http
from adapter.ebxml.plaintext import Plaintext, read_plaintext
from adapter.ebxml.read import signed_references
from adapter.ebxml.rulebook import Hit
from adapter.ebxml.words import EbError, Envelope
from adapter.errors import DecryptionError, SettingsError, StoreError, UnreadableError
from adapter.flow.alarms import raise_alarm
from adapter.flow.ebxml_keys import company_signer, decryption_keys, software_of, verify
from adapter.flow.ebxml_proof import judge_signal, record_signal
from adapter.flow.parts import Parts
from adapter.flow.processes import agreement_of
from adapter.model.partner import RegisterEntry
from adapter.model.wire import EBXML_HTTP, EBXML_MAIL, EBXML_ROADS
from adapter.security import cms
from adapter.security.envelope_signature import sign_envelope
from adapter.store import envelopes, inbox, journal
from adapter.store.statements import Row

_KEPT = ("content-type", "content-id", "content-transfer-encoding", "soapaction", "mime-version")
_FIELD_END = str.maketrans("", "", "\r\n")


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


def receive_envelope(parts: Parts, body: bytes, headers: Iterable[tuple[str, str]]) -> EnvelopeAnswer:
    """Take in one message that came over HTTP and give the response; safe to call again with the same message.

    Raises AdapterError when the fault is ours (store, keys, settings): then nothing untrue is said, and the partner
    sends again.
    """
    return _receive(parts, _capture(body, headers), EBXML_HTTP)


def receive_mail(parts: Parts, raw: bytes, name: str) -> EnvelopeAnswer:
    """The same for a whole mail: the answer's ``body`` is the signal to be sent back.

    ``name`` is the mail's own in its mailbox: one that could not be answered is read again and kept once.
    """
    return _receive(parts, raw, EBXML_MAIL, f"kept {name}")


def _receive(parts: Parts, raw: bytes, road: str, name: str | None = None) -> EnvelopeAnswer:
    opened = open_message(raw)
    tenant, owned = _owner(parts, opened)
    message_id, seq = _keep(parts, tenant, raw, name)
    party = opened.envelope.receiver.her_id if owned else None
    arrived = Arrived(message_id=message_id, seq=seq, tenant=tenant, opened=opened, road=road, party=party)
    if opened.envelope.kind in (Kind.ACKNOWLEDGMENT, Kind.MESSAGE_ERROR):
        _take_signal(parts, arrived, raw)
        return EnvelopeAnswer(status=204, message_id=arrived.message_id)
    return _take_payload(parts, arrived)


def _capture(body: bytes, headers: Iterable[tuple[str, str]]) -> bytes:
    """The message with the part of its head that says how to read it; credentials and the like are left out."""
    lines = [f"{name}: {value.translate(_FIELD_END)}\r\n" for name, value in headers if name.lower() in _KEPT]
    return "".join([*lines, "\r\n"]).encode("latin-1", "replace") + body


def _owner(parts: Parts, opened: Opened) -> tuple[TenantSettings, bool]:
    """Whose message it is, and True when it names an address of theirs.

    What names none of ours is kept, and answered, by the first tenant with a key. Raises SettingsError for a tenant
    that only listens: another system answers for it (P12).
    """
    her_id = opened.envelope.receiver.her_id
    owner = next((tenant for tenant in parts.settings.tenant if her_id in tenant.her_ids), None)
    signing = [tenant for tenant in parts.settings.tenant if tenant.sign_with is not None]
    tenant = owner or (signing or list(parts.settings.tenant))[0]
    if tenant.listen_only:
        raise SettingsError("this tenant only listens: its ebXML messages are another system's", code="P12.LISTEN")
    return tenant, owner is not None


def _keep(parts: Parts, tenant: TenantSettings, raw: bytes, name: str | None) -> tuple[str, int]:
    """Raw bytes first, before anything is believed of them: the message's id and place in the order."""
    message_id = parts.new_id()
    with parts.store.transaction() as db:
        earlier = envelopes.kept_as(db, name) if name is not None else None
        if earlier is not None:
            return earlier
        at = parts.store.now_us()
        seq = envelopes.add_envelope(db, message_id=message_id, tenant=tenant.name, raw=raw, at=at)
        if name is not None:
            envelopes.add_read(db, name, message_id, at=at)
    return message_id, seq


def _take_signal(parts: Parts, arrived: Arrived, raw: bytes) -> None:
    """A signal that came by itself: it moves the row that it names, when it is proof (P19)."""
    words = arrived.opened.envelope
    named = words.receipt.ref_to_message_id if words.receipt is not None else words.ref_to_message_id
    with parts.store.reading() as db:
        row = envelopes.find_sent(db, EBXML_ROADS, named) if named else None
        envelope = journal.read_payload(db, row["message_id"], f"envelope-{named}") if row is not None else b""
    if row is None:
        parts.log.warning("signal without a message", extra={"message_id": arrived.message_id})
        return
    proof = judge_signal(parts, arrived.opened, row, envelope, in_response=False)
    record_signal(parts, row["id"], proof, raw)


def _take_payload(parts: Parts, arrived: Arrived) -> EnvelopeAnswer:
    opened = arrived.opened
    sender = opened.envelope.sender.her_id
    partner = parts.entry(sender)
    outcome, words = verify(parts, opened, partner)
    if words is not None and words.message_id is not None and arrived.party is not None:
        earlier = _find(parts, words.message_id, arrived.party)
        if earlier is not None:
            return _again(parts, arrived, earlier, words)
    decrypted = _decrypt(parts, arrived.tenant, opened, partner) if words is not None else None
    receiver = parts.entry(arrived.party)
    hits = check_register(opened.envelope, opened.package, partner, receiver, signer=None)
    judged = judge(opened, outcome, decrypted, now=parts.now(), more=tuple(hits))
    if judged.answer.kind in (AnswerKind.ACKNOWLEDGMENT, AnswerKind.NONE) and words is not None:
        document = _document(words, opened, decrypted or {})
        if document is None:
            judged = judge(opened, outcome, decrypted, more=(Hit("27", "/Envelope/Body/Manifest"),))
        elif arrived.party is not None and words.kind is Kind.PAYLOAD:
            return _accept(parts, arrived, words, document, judged.answer)
    _note(parts, arrived, "envelope answered", judged.answer.kind, [hit.rule for hit in judged.hits])
    return _reject(parts, arrived, words or opened.envelope, judged.answer)


def _decrypt(
    parts: Parts, tenant: TenantSettings, opened: Opened, partner: RegisterEntry | None
) -> dict[int, Plaintext | None]:
    """The documents by the attachments' places; None for each that cannot be had, whatever the cause."""
    found: dict[int, Plaintext | None] = {}
    for number, part in enumerate(opened.attachments):
        if not part.encrypted or part.content is None:
            continue
        try:
            allow = agreement_of(partner).allow_3des
            plain = read_plaintext(cms.decrypt(part.content, decryption_keys(parts, tenant), allow_3des=allow))
        except (DecryptionError, UnreadableError) as error:
            parts.log.warning("not decrypted", extra={"code": error.code})
            plain = None
        # A forged key gives noise once in 256 times: it is answered as every other failure.
        is_xml = plain is not None and plain.content[:200].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
        found[number] = plain if is_xml else None
    return found


def _document(words: Envelope, opened: Opened, decrypted: Mapping[int, Plaintext | None]) -> bytes | None:
    """The octets of the first part that the signed Manifest names."""
    href = words.manifest[0].href if words.manifest else None
    part = opened.package.find(href) if opened.package is not None and href is not None else None
    for number, one in enumerate(opened.attachments):
        if part is not None and one.part is part:
            plain = decrypted.get(number)
            return plain.content if plain is not None else None if one.encrypted else one.content
    return None


# --- what has come before ---------------------------------------------------------------------------------------------


def _find(parts: Parts, message_id: str, party: int) -> Row | None:
    with parts.store.reading() as db:
        return envelopes.find_received(db, EBXML_ROADS, message_id, party)


def _digest(opened: Opened) -> str:
    """The content of an envelope by its signed references: a resend has the same, whatever its wrapping."""
    lines = sorted(f"{one.uri} {one.digest_method} {one.digest}" for one in signed_references(_root(opened)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _root(opened: Opened) -> xmlio.Element:
    assert opened.root is not None  # it was verified
    return opened.root


def _again(parts: Parts, arrived: Arrived, earlier: Row, words: Envelope) -> EnvelopeAnswer:
    """The stored signal for a duplicate; an error for another message under the same id (HITS 1172 5.8.2, P3)."""
    if earlier["input_digest"] == _digest(arrived.opened) and earlier["sender"] == words.sender.her_id:
        _note(parts, arrived, "envelope repeated", AnswerKind.ACKNOWLEDGMENT, [], of=earlier["message_id"])
        with parts.store.reading() as db:
            signal = journal.read_payload(db, earlier["message_id"], "signal")
        kind = AnswerKind.ACKNOWLEDGMENT if signal else AnswerKind.NONE
        return _response(parts, kind, signal, earlier["message_id"])
    _note(parts, arrived, "envelope conflict", AnswerKind.MESSAGE_ERROR, [], of=earlier["message_id"])
    raise_alarm(parts, f"conflict:{arrived.message_id}", "an ebXML MessageId came again with other content (P3)")
    answer = Answer(kind=AnswerKind.MESSAGE_ERROR, errors=(fault_error("conflict"),))
    return _reject(parts, arrived, words, answer)


# --- answers ----------------------------------------------------------------------------------------------------------


def _accept(parts: Parts, arrived: Arrived, words: Envelope, document: bytes, answer: Answer) -> EnvelopeAnswer:
    """Row, document and signal in one commit, before the first byte of the signal leaves."""
    signal = _acknowledge(parts, arrived, words) if answer.kind is AnswerKind.ACKNOWLEDGMENT else b""
    names = {
        "service": words.service,
        "service_type": words.service_type,
        "from_role": words.sender.role,
        "to_role": words.receiver.role,
        "conversation_id": words.conversation_id,
        "cpa_id": words.cpa_id,
    }
    item: Row = {
        "id": parts.new_id(),
        "message_id": arrived.message_id,
        "seq": arrived.seq,
        "tenant": arrived.tenant.name,
        "party": arrived.party,
        "road": arrived.road,
        "remote_id": words.message_id,
        "overrides": {"ebxml": names},
        "put_away": True,  # there is no server to tell
    }
    facts = {"sender": words.sender.her_id, "input_digest": _digest(arrived.opened)}
    try:
        with parts.store.transaction() as db:
            inbox.set_facts(db, arrived.message_id, facts)
            journal.add_payload(db, arrived.message_id, "signal", signal)
            inbox.add_delivery(db, item, document, at=parts.store.now_us())
    except StoreError as error:
        earlier = _find(parts, words.message_id or "", item["party"]) if error.code == "STORE.INTEGRITY" else None
        if earlier is None:
            raise
        return _again(parts, arrived, earlier, words)  # the same message came twice at this moment
    parts.log.info("received", extra={"delivery": item["id"], "size_bytes": len(document)})
    return _response(parts, answer.kind, signal, arrived.message_id)


def _acknowledge(parts: Parts, arrived: Arrived, words: Envelope) -> bytes:
    receipt = acknowledgment(
        words,
        signed_references(_root(arrived.opened)),
        message_id=parts.new_id(),
        now=parts.now(),
        software=software_of(parts),
    )
    return sign_envelope(build(receipt), company_signer(parts, arrived.tenant), {})


def _reject(parts: Parts, arrived: Arrived, words: Envelope, answer: Answer) -> EnvelopeAnswer:
    """MessageError, SOAP Fault or nothing; the bytes are kept before they leave, and are what leaves next time too."""
    kind, signal = answer.kind, b""
    with parts.store.reading() as db:
        earlier = envelopes.find_signal(db, arrived.message_id)
    if earlier is not None:
        return _response(parts, kind, earlier, arrived.message_id)
    if kind is AnswerKind.MESSAGE_ERROR and words.message_id:
        signal = _error(parts, arrived, words, answer.errors)
    elif kind in (AnswerKind.SOAP_FAULT, AnswerKind.MESSAGE_ERROR):  # without an id there is nothing to report on
        kind = AnswerKind.SOAP_FAULT
        signal = xmlio.serialise(build_fault(answer.fault_code, "the message cannot be read as ebXML"))
    elif kind is AnswerKind.ACKNOWLEDGMENT:  # judged sound, yet not for us to take: nothing untrue is said
        kind = AnswerKind.NONE
    if signal:
        with parts.store.transaction() as db:
            journal.add_payload(db, arrived.message_id, "signal", signal)
    return _response(parts, kind, signal, arrived.message_id)


def _error(parts: Parts, arrived: Arrived, words: Envelope, errors: Sequence[EbError]) -> bytes:
    report = message_error(words, errors, message_id=parts.new_id(), now=parts.now(), software=software_of(parts))
    return sign_envelope(build(report), company_signer(parts, arrived.tenant), {})


def _response(parts: Parts, kind: AnswerKind, signal: bytes, message_id: str) -> EnvelopeAnswer:
    if not signal:
        return EnvelopeAnswer(status=204, kind=kind, message_id=message_id)
    packed = pack_http(signal, [], boundary="none", content_id=f"envelope-{parts.new_id()}@adapter")
    status = 500 if kind is AnswerKind.SOAP_FAULT else 200
    return EnvelopeAnswer(status=status, headers=packed.headers, body=packed.body(), kind=kind, message_id=message_id)


def _note(
    parts: Parts, arrived: Arrived, what: str, kind: AnswerKind, rules: Sequence[str], of: str | None = None
) -> None:
    detail: dict[str, object] = {"answer": kind.value, "rules": list(dict.fromkeys(rules))[:20]}
    if of is not None:
        detail["of"] = of
    with parts.store.transaction() as db:
        journal.add_event(
            db,
            at=parts.store.now_us(),
            tenant=arrived.tenant.name,
            kind=what,
            message_id=arrived.message_id,
            detail=detail,
        )
