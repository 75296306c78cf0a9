"""In over ebXML: an envelope comes, one signal goes back; the document goes the ordinary way in.

1 open   2 keep the raw bytes   3 a signal? (``ebxml_signals``; never acknowledged)   4 verify, decrypt, judge
5 duplicate → the stored signal again; same id, other content → conflict   6 one commit: row, document, Acknowledgment
The business content is judged afterwards, by ``inbound.resume``: the Acknowledgment says only that it arrived.
When too much is held of senders that nobody could verify, what is not a partner's own is not kept, nor answered for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

import adapter.xmlio as xmlio
from adapter.config import TenantSettings
from adapter.ebxml.build import build_fault
from adapter.ebxml.check_register import check_register
from adapter.ebxml.compose import acknowledgment, message_error
from adapter.ebxml.decide import Answer, AnswerKind, fault_error
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import Judged, Opened, judge, open_message
from adapter.ebxml.plaintext import Plaintext
from adapter.ebxml.read import read
from adapter.ebxml.rulebook import Hit
from adapter.ebxml.words import EbError, Envelope
from adapter.errors import SettingsError, Severity, StoreError
from adapter.flow.alarms import raise_alarm
from adapter.flow.ebxml_agreed import agreement_hits
from adapter.flow.ebxml_arrived import Arrived, respond, sign, tell_answer, tell_no_room
from adapter.flow.ebxml_arrived import EnvelopeAnswer as EnvelopeAnswer
from adapter.flow.ebxml_documents import Contents, add_rest, sort_parts
from adapter.flow.ebxml_keys import decryption_keys, software_of, verify
from adapter.flow.ebxml_proof import unchecked
from adapter.flow.ebxml_signals import is_vouched_for, sent_by, take_signal
from adapter.flow.envelope import decrypt_parts
from adapter.flow.parts import Parts
from adapter.flow.processes import agreement_of
from adapter.model.partner import RegisterEntry
from adapter.model.wire import EBXML_HTTP, EBXML_MAIL, EBXML_ROADS
from adapter.store import envelopes, inbox, journal, signals
from adapter.store.statements import Row

_KEPT = ("content-type", "content-id", "content-transfer-encoding", "soapaction", "mime-version")
_FIELD_END = str.maketrans("", "", "\r\n")


def receive_envelope(parts: Parts, body: bytes, headers: Iterable[tuple[str, str]]) -> EnvelopeAnswer:
    """Take in one message that came over HTTP and give the response; safe to call again with the same message.

    Raises AdapterError when the fault is ours (store, keys, settings), and StoreError P28.UNVERIFIED when there is no
    room for what its sender has not proved to be its own: then nothing untrue is said, and the partner sends again.
    """
    try:
        return _receive(parts, _capture(body, headers), EBXML_HTTP)
    except StoreError as error:
        if error.code == envelopes.NO_ROOM:
            tell_no_room(parts)
        raise


def receive_mail(parts: Parts, raw: bytes, name: str, opened: Opened | None = None) -> EnvelopeAnswer:
    """The same for a whole mail: the answer's ``body`` is the signal to be sent back.

    ``name`` is the mail's own in its mailbox: one that could not be answered is read again and kept once. ``opened``:
    what ``open_message`` makes of ``raw``, where the caller has it.
    """
    return _receive(parts, raw, EBXML_MAIL, f"kept {name}", opened)


def _receive(
    parts: Parts, raw: bytes, road: str, name: str | None = None, opened: Opened | None = None
) -> EnvelopeAnswer:
    opened = opened if opened is not None else open_message(raw)
    tenant, owned = _owner(parts, opened)
    message_id, seq = _keep(parts, tenant, raw, name, opened)
    party = opened.envelope.receiver.her_id if owned else None
    arrived = Arrived(message_id=message_id, seq=seq, tenant=tenant, opened=opened, road=road, party=party)
    if opened.envelope.kind not in (None, Kind.PAYLOAD):
        return take_signal(parts, arrived, raw)
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


def _keep(parts: Parts, tenant: TenantSettings, raw: bytes, name: str | None, opened: Opened) -> tuple[str, int]:
    """Raw bytes first, before anything is believed of them: the message's id and place in the order.

    Only when there is no room for what may be a stranger's, the signature is looked at before (P28).
    """
    most = parts.settings.store.unverified_max_bytes
    try:
        return _keep_within(parts, tenant, raw, name, most)
    except StoreError as error:
        if error.code != envelopes.NO_ROOM or not is_vouched_for(parts, opened):
            raise
    return _keep_within(parts, tenant, raw, name, None)


def _keep_within(
    parts: Parts, tenant: TenantSettings, raw: bytes, name: str | None, most: int | None
) -> tuple[str, int]:
    message_id = parts.new_id()
    with parts.store.transaction() as db:
        earlier = envelopes.kept_as(db, name) if name is not None else None
        if earlier is not None:
            return earlier
        at = parts.store.now_us()
        seq = envelopes.add_envelope(db, message_id=message_id, tenant=tenant.name, raw=raw, at=at, most_bytes=most)
        if name is not None:
            envelopes.add_read(db, name, message_id, at=at)
    return message_id, seq


def _take_payload(parts: Parts, arrived: Arrived) -> EnvelopeAnswer:
    opened = arrived.opened
    partner = parts.entry(opened.envelope.sender.her_id)
    outcome, words = verify(parts, opened, partner)
    if outcome.status == "unchecked":
        raise unchecked()
    repeated = _repeated(parts, arrived, words) if words is not None else None
    if repeated is not None:
        return repeated
    decrypted = _decrypt(parts, arrived, partner) if words is not None else None
    hits = _register_hits(parts, arrived, partner)
    if words is not None:
        hits += agreement_hits(parts, words, arrived.tenant.name)
    judged = judge(opened, outcome, decrypted, now=parts.now(), more=hits)
    if judged.answer.taken and words is not None and arrived.party is not None:
        contents = sort_parts(words, opened, decrypted or {})
        if contents is not None:
            return _accept(parts, arrived, words, contents, judged)
        no_document = Hit("27", "/Envelope/Body/Manifest")
        judged = judge(opened, outcome, decrypted, now=parts.now(), more=(*hits, no_document))
    rules = [hit.rule for hit in judged.hits]
    tell_answer(parts, arrived, "envelope answered", judged.answer.kind, rules, verified=words is not None)
    return _reject(parts, arrived, words, judged.answer)


def _decrypt(parts: Parts, arrived: Arrived, partner: RegisterEntry | None) -> dict[int, Plaintext | None]:
    """The documents by the attachments' places; raises SettingsError when we have no key at all."""
    if not any(part.encrypted for part in arrived.opened.attachments):
        return {}
    keys = decryption_keys(parts, arrived.tenant)
    return decrypt_parts(arrived.opened, keys, allow_3des=agreement_of(partner).allow_3des, log=parts.log)


def _register_hits(parts: Parts, arrived: Arrived, partner: RegisterEntry | None) -> tuple[Hit, ...]:
    """Failed rules of the register. An address of ours that our book lacks is no fault of the sender's."""
    receiver = parts.entry(arrived.party)
    opened = arrived.opened
    hits = check_register(opened.envelope, opened.package, partner, receiver, signer=None)
    return tuple(hit for hit in hits if hit.rule != "54a" or arrived.party is None)


# --- what has come before ---------------------------------------------------------------------------------------------


def _find(parts: Parts, message_id: str, party: int) -> Row | None:
    with parts.store.reading() as db:
        return envelopes.find_received(db, EBXML_ROADS, message_id, party)


def _digest(arrived: Arrived) -> str:
    """The content of an envelope by its signed references: a resend has the same, whatever its wrapping."""
    lines = sorted(f"{one.uri} {one.digest_method} {one.digest}" for one in arrived.opened.references)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _repeated(parts: Parts, arrived: Arrived, words: Envelope) -> EnvelopeAnswer | None:
    """The answer to a verified envelope whose MessageId has come before; None for a new one.

    It stands before TimeToLive, agreement and register: a resend may come after any of them has changed.
    """
    sender, party, message_id = words.sender.her_id, arrived.party, words.message_id
    if sender is None or party is None or message_id is None:
        return None
    row = _find(parts, message_id, party)
    if row is not None:
        if row["input_digest"] != _digest(arrived) or sent_by(row) != sender:
            return _conflict(parts, arrived, words, row["message_id"])
        signal = _said(parts, row["message_id"])
        if signal is None:  # retention has taken it (P28): a new receipt is as good (HIS 1037 6.2.1)
            signal = _acknowledge(parts, arrived, words) if words.ack_request is not None else b""
        return _again(parts, arrived, row["message_id"], signal)
    with parts.store.reading() as db:
        refused = signals.find_refused(db, sender=sender, party=party, remote_id=message_id)
    if refused is None or refused["id"] == arrived.message_id:
        return None
    if refused["input_digest"] != _digest(arrived):
        return _conflict(parts, arrived, words, refused["id"])
    signal = _said(parts, refused["id"])
    return None if signal is None else _again(parts, arrived, refused["id"], signal)


def _said(parts: Parts, message_id: str) -> bytes | None:
    with parts.store.reading() as db:
        return envelopes.find_signal(db, message_id)


def _again(parts: Parts, arrived: Arrived, earlier: str, signal: bytes) -> EnvelopeAnswer:
    """The stored signal for a duplicate, an error as well as a receipt (HITS 1172 5.8.2, HITS 1171 9.6)."""
    kind = _kind_of(signal)
    tell_answer(parts, arrived, "envelope repeated", kind, [], verified=True, of=earlier)
    return respond(parts, kind, signal, earlier)


def _conflict(parts: Parts, arrived: Arrived, words: Envelope, earlier: str) -> EnvelopeAnswer:
    """An error for another message under an id that was used (HITS 1172 5.8.2, P3)."""
    tell_answer(parts, arrived, "envelope conflict", AnswerKind.MESSAGE_ERROR, [], verified=True, of=earlier)
    raise_alarm(parts, f"conflict:{arrived.message_id}", "an ebXML MessageId came again with other content (P3)")
    answer = Answer(kind=AnswerKind.MESSAGE_ERROR, errors=(fault_error("conflict"),))
    return _reject(parts, arrived, words, answer)


def _kind_of(signal: bytes) -> AnswerKind:
    kind = read(xmlio.parse(signal)).kind if signal else None
    return AnswerKind(kind.value) if kind is not None else AnswerKind.NONE


# --- answers ----------------------------------------------------------------------------------------------------------


def _accept(parts: Parts, arrived: Arrived, words: Envelope, contents: Contents, judged: Judged) -> EnvelopeAnswer:
    """Rows, documents and signal in one commit, before the first byte of the signal leaves.

    The signal is the Acknowledgment, a report of warnings in its place (HITS 1171 8.4), or none (synchronous form).
    """
    answer = judged.answer
    signal = b""
    if answer.kind is AnswerKind.ACKNOWLEDGMENT:
        signal = _acknowledge(parts, arrived, words)
    elif answer.kind is AnswerKind.MESSAGE_ERROR:
        signal = _error(parts, arrived, words, answer.errors)
    facts = {"sender": words.sender.her_id, "input_digest": _digest(arrived)}
    at = parts.store.now_us()
    try:
        with parts.store.transaction() as db:
            inbox.set_facts(db, arrived.message_id, facts)
            envelopes.set_verified(db, arrived.seq)
            journal.add_payload(db, arrived.message_id, "signal", signal)
            row = inbox.add_delivery(db, _item(parts, arrived, words), contents.documents[0], at=at)
            failed = [one.rule for one in judged.findings if one.severity is not Severity.INFO]
            if failed:  # tolerated, or told as warnings: the message stands all the same
                kind = "accepted with warnings" if answer.errors else "accepted with findings"
                journal.note(db, row, at=at, kind=kind, detail={"rules": list(dict.fromkeys(failed))[:20]})
            add_rest(db, parts, row, contents, at=at)
    except StoreError as error:
        repeated = _repeated(parts, arrived, words) if error.code == "STORE.INTEGRITY" else None
        if repeated is None:
            raise
        return repeated  # the same message came twice at this moment
    parts.log.info("received", extra={"delivery": row["id"], "size_bytes": len(contents.documents[0])})
    if contents.beside:
        raise_alarm(parts, f"beside:{row['id']}", "an envelope held parts beside its document; see adapter export")
    return respond(parts, answer.kind, signal, arrived.message_id)


def _item(parts: Parts, arrived: Arrived, words: Envelope) -> Row:
    """The row's columns; what the receipt's envelope will need is kept with it."""
    names = {
        "service": words.service,
        "service_type": words.service_type,
        "from_role": words.sender.role,
        "to_role": words.receiver.role,
        "conversation_id": words.conversation_id,
        "cpa_id": words.cpa_id,
        "sender": words.sender.her_id,
        "message_id": words.message_id,
    }
    return {
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


def _acknowledge(parts: Parts, arrived: Arrived, words: Envelope) -> bytes:
    receipt = acknowledgment(
        words,
        arrived.opened.references,
        message_id=parts.new_id(),
        now=parts.now(),
        software=software_of(parts),
    )
    return sign(parts, arrived, receipt)


def _reject(parts: Parts, arrived: Arrived, verified: Envelope | None, answer: Answer) -> EnvelopeAnswer:
    """MessageError, SOAP Fault or nothing; the bytes are kept before they leave, and are what leaves next time too."""
    kind, signal = answer.kind, b""
    words = verified or arrived.opened.envelope
    with parts.store.reading() as db:
        earlier = envelopes.find_signal(db, arrived.message_id)
    if earlier is not None:
        return respond(parts, kind, earlier, arrived.message_id)
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
            if kind is AnswerKind.MESSAGE_ERROR and verified is not None:
                _remember(db, arrived, verified, parts.store.now_us())
    return respond(parts, kind, signal, arrived.message_id)


def _remember(db: sa.Connection, arrived: Arrived, words: Envelope, at: int) -> None:
    """Only what its sender has signed: a forged envelope must not decide what the true one gets."""
    sender, remote_id = words.sender.her_id, words.message_id
    party = arrived.party
    if sender is not None and party is not None and remote_id is not None:
        digest = _digest(arrived)
        signals.add_refused(
            db, arrived.message_id, sender=sender, party=party, remote_id=remote_id, digest=digest, at=at
        )


def _error(parts: Parts, arrived: Arrived, words: Envelope, errors: Sequence[EbError]) -> bytes:
    report = message_error(words, errors, message_id=parts.new_id(), now=parts.now(), software=software_of(parts))
    return sign(parts, arrived, report)
