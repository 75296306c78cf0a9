"""The ebXML road by mail, in: poll the mailbox, store each mail, answer it, mark it, and after its grace delete it.

1 take the lease   2 send the signals that are owed   3 list, and for each mail: fetch, store, receive, owe the signal,
mark   4 delete what was answered long enough ago   Every write under the lease checks that it is still ours. A mail is
the same by mailbox, UIDVALIDITY, UID and the digest of its bytes; its signal goes to the register's EDI address, and a
Fault does so seldom, and never to automatic mail (P19).
"""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from adapter.config import TenantSettings
from adapter.ebxml.decide import AnswerKind
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import Opened, open_message
from adapter.errors import AccessError, AdapterError, TransportError
from adapter.flow.alarms import all_clear, open_names, raise_alarm
from adapter.flow.ebxml_arrived import tell_no_room
from adapter.flow.ebxml_back import Returned, read_returned, record_returned
from adapter.flow.ebxml_house import keep_house
from adapter.flow.ebxml_in import EnvelopeAnswer, receive_mail
from adapter.flow.ebxml_post import send_mail as send_mail
from adapter.flow.ebxml_post import send_owed
from adapter.flow.ebxml_round import FAILURES_IN_A_ROW, Round, mailbox_round
from adapter.flow.fetch import below_low_water
from adapter.flow.parts import HOUR_US, MailRoad, Parts
from adapter.model.delivery import Step
from adapter.model.wire import EBXML_MAIL
from adapter.store import envelopes, fence, inbox, journal, mails, outbox
from adapter.store.statements import Row
from adapter.transport.line import MAIL_FULL
from adapter.transport.mailbox import MailIdentity, MailItem, digest_of

PAGE = 100
STUMBLED_US = HOUR_US  # how long a mail is left that broke a round
MOST_FAULTS = 20  # in an hour, all parties together
MOST_FAULTS_EACH = 1


def poll_mailbox(parts: Parts, road: MailRoad | None = None) -> int:
    """Take in what is new in our mailboxes, or in one; gives how many mails. One bad mail never stops the rest.

    Raises AdapterError when a mailbox itself cannot be read; the others are read all the same.
    """
    taken, broken = 0, None
    for one in parts.mails if road is None else (road,):
        try:
            taken += _poll(parts, one)
        except AdapterError as error:
            broken = error
    if broken is not None:
        raise broken
    return taken


def _poll(parts: Parts, road: MailRoad) -> int:
    if parts.stopping.is_set() or below_low_water(parts) or _only_listens(parts, road):
        return 0
    taken = 0
    with mailbox_round(parts, road) as look:
        if look is not None:
            taken = take_in(look)
            keep_house(look)
    return taken


def _only_listens(parts: Parts, road: MailRoad) -> bool:
    """True for a mailbox that another system reads, marks and cleans (P12)."""
    return all(tenant.listen_only for tenant in parts.settings.tenant if tenant.name in road.tenants)


def take_in(look: Round) -> int:
    """All that is new in the mailbox, what is owed before and after each, and what is past its grace."""
    _answer(look)
    taken = 0
    passed = _left(look)
    seen: set[str] = set()
    with look.parts.store.reading() as db:
        known = mails.known_names(db, look.mailbox)
    while True:
        items = look.road.mailbox.list(PAGE, lambda one: one.remote_id in known or one.remote_id in passed)
        for item in items:
            if not look.goes_on(item.size_bytes):
                return taken
            passed.add(item.identity.remote_id)
            if _take(look, item):
                taken += 1
            else:
                seen.add(item.identity.remote_id)
            _answer(look)
        if len(items) < PAGE:
            break
    look.road.memory.looked_at = look.begun
    _clear_gone(look, seen)
    return taken


def _left(look: Round) -> set[str]:
    """Mails on which this process broke down lately: the others come first, and these again after a while."""
    stumbled = look.road.memory.stumbled
    for name in [name for name, until in stumbled.items() if until <= look.begun]:
        del stumbled[name]
    return set(stumbled)


def _answer(look: Round) -> None:
    if look.sending:
        look.sending = send_owed(look.parts, look.road)


def _clear_gone(look: Round, seen: set[str]) -> None:
    """The all-clear for mails that waited in the mailbox and are there no more."""
    ours = f"unread mail:{look.mailbox}:"
    left = look.road.memory.stumbled
    for incident in sorted(open_names(look.parts)):
        name = incident.removeprefix(ours)
        if incident.startswith(ours) and name not in seen and name not in left:
            all_clear(look.parts, incident)


def _take(look: Round, item: MailItem) -> bool:
    """Take in one mail; False when it stays in the mailbox as it was."""
    name, stumbled = item.identity.remote_id, look.road.memory.stumbled
    stumbled[name] = look.begun + STUMBLED_US  # what is no error of ours ends the round, and the next begins without it
    try:
        raw = look.road.mailbox.fetch(item)
        look.failures = 0
        _receive(look, item, raw)
    except AdapterError as error:  # ours or the world's fault: it stays in the mailbox and is read again
        if error.code == envelopes.NO_ROOM:  # and only after a while: there may be very many of them
            tell_no_room(look.parts)
            return False
        del stumbled[name]
        _stays(look, name, error)
        return False
    del stumbled[name]
    return True


def _stays(look: Round, name: str, error: AdapterError) -> None:
    """One mail waits, or is gone; raises what concerns them all."""
    look.failures += isinstance(error, TransportError)
    if error.code == fence.LOST or isinstance(error, AccessError) or look.failures >= FAILURES_IN_A_ROW:
        raise error
    if error.code != "MAIL.GONE":  # which another one has taken away
        raise_alarm(look.parts, f"unread mail:{look.mailbox}:{name}", f"a mail in the mailbox waits: {error.code}")


def _receive(look: Round, item: MailItem, raw: bytes) -> None:
    """Store, open, answer and mark one mail whose bytes are here."""
    digest = digest_of(raw)
    identity = item.identity
    taken = mails.TakenMail(
        name=identity.remote_id, mailbox=look.mailbox, message_id="", sha256=digest, size_bytes=len(raw)
    )
    if not _renumbered(look, taken, identity):
        _record(look, taken, open_message(raw), raw)
    _mark(look, item)
    all_clear(look.parts, f"unread mail:{look.mailbox}:{identity.remote_id}")


def _renumbered(look: Round, taken: mails.TakenMail, identity: MailIdentity) -> bool:
    """True for a mail that was taken under an earlier numbering of the mailbox: it only has a new name."""
    with look.parts.store.reading() as db:
        if not mails.same_content(db, taken.mailbox, taken.sha256):
            return False
    with look.parts.store.transaction() as db:
        return mails.renumber(db, taken.mailbox, taken.sha256, identity.uidvalidity, taken.name)


def _record(look: Round, taken: mails.TakenMail, opened: Opened, raw: bytes) -> None:
    """Keep the mail, and in the transaction that calls it taken say what it is owed."""
    parts, now = look.parts, look.parts.store.now_us()
    kept = f"mail {taken.sha256} {taken.mailbox}"
    returned = read_returned(opened, raw)
    if returned is not None:
        if not _keep(look, taken, raw, kept, returned):
            raise_alarm(parts, f"mail:{taken.name}", "a mail came back and names nothing of ours (P19)")
        return
    stranger = _stranger(look, opened)
    if stranger is not None:
        _set_aside(look, taken, raw, kept, stranger)
        return
    answer = receive_mail(parts, raw, kept, opened)
    with parts.store.transaction() as db:
        found = envelopes.kept_as(db, f"kept {kept}")
        assert found is not None
        owed = _owed(look, db, replace(taken, message_id=found[0]), opened, answer)
        mails.add_mail(db, owed, at=now)
    if owed.signal_kind == mails.JUNK:
        raise_alarm(parts, f"junk:{taken.mailbox}", "a mail cannot be taken as an ebXML message, nor answered (P19)")


def _owed(
    look: Round, db: sa.Connection, taken: mails.TakenMail, opened: Opened, answer: EnvelopeAnswer
) -> mails.TakenMail:
    """The mail with the signal that it is to be answered by, if it is."""
    receiver = opened.envelope.sender.her_id
    fault = answer.kind is AnswerKind.SOAP_FAULT
    if not answer.body or answer.message_id is None or (fault and not _may_fault(look, db, opened, receiver)):
        payload = opened.envelope.kind in (None, Kind.PAYLOAD)
        junk = fault or (payload and not outbox.deliveries(db, answer.message_id or taken.message_id))
        return replace(taken, signal_kind=mails.JUNK) if junk else taken
    if envelopes.find_signal(db, answer.message_id) is None:
        journal.add_payload(db, answer.message_id, "signal", answer.body)
    return replace(
        taken,
        signal_of=answer.message_id,
        signal_to=receiver,
        signal_kind=answer.kind.value,
        due_at=look.parts.store.now_us(),
    )


def _may_fault(look: Round, db: sa.Connection, opened: Opened, receiver: int | None) -> bool:
    """P19: to the register's address, seldom, and never to what a machine wrote by itself."""
    entry = look.parts.entry(receiver)
    if entry is None or entry.edi_address is None or opened.package is None or opened.package.is_automatic:
        return False
    since = look.parts.store.now_us() - HOUR_US
    each = mails.faults_since(db, since, entry.her_id)
    return each < MOST_FAULTS_EACH and mails.faults_since(db, since) < MOST_FAULTS


def _keep(look: Round, taken: mails.TakenMail, raw: bytes, kept: str, returned: Returned) -> bool:
    """Bytes, event and flag of a mail that came back, in one transaction; False when it names nothing of ours."""
    parts = look.parts
    with parts.store.transaction() as db:
        message_id = _stored(look, db, raw, kept)
        named = record_returned(db, parts, look.road, returned)
        mails.add_mail(db, replace(taken, message_id=message_id), at=parts.store.now_us())
    return named


def _stored(look: Round, db: sa.Connection, raw: bytes, kept: str) -> str:
    """The message that a mail is kept as, its bytes stored once."""
    earlier = envelopes.kept_as(db, f"kept {kept}")
    if earlier is not None:
        return earlier[0]
    message_id, at = look.parts.new_id(), look.parts.store.now_us()
    most = look.parts.settings.store.unverified_max_bytes
    envelopes.add_envelope(db, message_id=message_id, tenant=_keeper(look).name, raw=raw, at=at, most_bytes=most)
    envelopes.add_read(db, f"kept {kept}", message_id, at=at)
    return message_id


def _keeper(look: Round) -> TenantSettings:
    """The tenant that keeps what is nobody's by its words: the mailbox's first that does more than listen."""
    return next(tenant for tenant in look.parts.settings.tenant if not tenant.listen_only)


def _stranger(look: Round, opened: Opened) -> TenantSettings | None:
    """The tenant whose message came to another one's mailbox; None for all that may be here."""
    to = opened.envelope.receiver.her_id
    others = [tenant for tenant in look.all_tenants if tenant.name not in look.road.tenants]
    return next((tenant for tenant in others if to in tenant.her_ids), None)


def _set_aside(look: Round, taken: mails.TakenMail, raw: bytes, kept: str, owner: TenantSettings) -> None:
    """A message to another tenant: quarantined where it came, unanswered, until a person has looked (P18, P23).

    The transport's receiver is not the message's, and what comes to one tenant's mailbox becomes nothing of another's.
    """
    parts, now = look.parts, look.parts.store.now_us()
    ours = _keeper(look)
    with parts.store.transaction() as db:
        message_id = _stored(look, db, raw, kept)
        item: Row = {"id": parts.new_id(), "message_id": message_id, "tenant": ours.name, "party": ours.her_ids[0]}
        if mails.add_mail(db, replace(taken, message_id=message_id), at=now):
            seq = envelopes.place_of(db, message_id)
            item |= {"seq": seq, "road": EBXML_MAIL, "remote_id": None, "put_away": True}
            row = inbox.add_delivery(db, item, raw, at=now)
            detail = {"reason": "another tenant's", "owner": owner.name}
            journal.move(db, row, at=now, kind="quarantined", step=Step.QUARANTINED, detail=detail)
            journal.flag(db, row, "spoof suspected", at=now, detail=detail)
    raise_alarm(parts, f"attention:{item['id']}", "a message to another tenant came to this mailbox (P18)")


def _mark(look: Round, item: MailItem) -> None:
    """Tell the server, where it keeps marks. The store knows in any case, so a failure here stops nothing."""
    unmarked = f"no marks:{look.mailbox}"
    try:
        look.road.mailbox.mark(item)
    except TransportError as error:
        if error.code == MAIL_FULL:
            raise_alarm(look.parts, unmarked, "our mailbox has no room for a mark: partners' mails are turned away")
        look.parts.log.warning("not marked", extra={"code": error.code})
        return
    all_clear(look.parts, unmarked)
