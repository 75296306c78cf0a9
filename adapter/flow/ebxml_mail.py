"""The ebXML road by mail: poll the mailbox, give each message its signal by mail, and only then mark it as taken.

A mail stays unmarked until its signal has left. After a crash, or while our mail server is away, it is read again, is a
duplicate by then, and gets the stored signal. Signals go to the register's EDI address and nowhere else; a Fault is not
sent by mail (P19). Bounces tell a person, and change nothing.
"""

from __future__ import annotations

from adapter.ebxml.decide import AnswerKind
from adapter.ebxml.opening import open_message
from adapter.ebxml.pack import Attachment, MailHead, Packed, pack_mail
from adapter.errors import AdapterError, NotFoundError, RemoteRefusalError, SettingsError, UnsupportedError
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.ebxml_in import EnvelopeAnswer, receive_mail
from adapter.flow.fetch import below_low_water
from adapter.flow.parts import Parts
from adapter.model.partner import RegisterEntry
from adapter.store import envelopes, inbox
from adapter.transport.mailbox import Mailbox, MailIdentity, MailItem

PAGE = 100
LEASE_S = 600.0  # longer than one mail can take: a call has its own total time-out
SUBJECT = "ebXML"


def poll_mailbox(parts: Parts) -> int:
    """Take in what is new in our mailbox; gives how many mails. One bad mail never stops the rest.

    One worker at a time (a lease). Raises AdapterError when the mailbox itself cannot be read.
    """
    mailbox = parts.mailbox
    if mailbox is None or parts.stopping.is_set() or below_low_water(parts) or not _lease(parts):
        return 0
    taken = 0
    try:
        for item in mailbox.list(PAGE, lambda identity: _known(parts, identity)):
            if parts.stopping.is_set() or below_low_water(parts) or not _lease(parts):
                break
            taken += _take(parts, mailbox, item)
    finally:
        with parts.store.transaction() as db:
            inbox.drop_lease(db, "mailbox", parts.worker, now=parts.store.now_us())
    return taken


def _lease(parts: Parts) -> bool:
    now = parts.store.now_us()
    with parts.store.transaction() as db:
        until = now + round(LEASE_S * 1e6)
        return inbox.take_lease(db, "mailbox", parts.worker, now=now, until=until) is not None


def _name(identity: MailIdentity) -> str:
    return f"mail {identity.remote_id}"


def _known(parts: Parts, identity: MailIdentity) -> bool:
    with parts.store.reading() as db:
        return envelopes.was_read(db, _name(identity))


def _take(parts: Parts, mailbox: Mailbox, item: MailItem) -> int:
    incident = f"mail:{item.identity.uidvalidity}:{item.identity.uid}"
    try:
        raw = mailbox.fetch(item)
    except NotFoundError:
        return 0  # another one has taken it away
    except UnsupportedError as error:
        raise_alarm(parts, incident, f"a mail in the mailbox cannot be read: {error.code}")
        return 0
    try:
        answer = receive_mail(parts, raw, _name(item.identity))
        _tell(parts, raw, answer, incident)
    except AdapterError as error:  # ours or the world's fault: it stays in the mailbox and is read again
        raise_alarm(parts, incident, f"a received mail waits: {error.code}")
        return 0
    with parts.store.transaction() as db:
        envelopes.add_read(db, _name(item.identity), answer.message_id or "", at=parts.store.now_us())
    mailbox.mark(item)
    return 1


def _tell(parts: Parts, raw: bytes, answer: EnvelopeAnswer, incident: str) -> None:
    """Send the signal; what can go nowhere is an alarm."""
    opened = open_message(raw)
    if opened.package is not None and opened.package.is_report:
        raise_alarm(parts, incident, "a mail came back: see the mailbox (P19)")
        return
    if answer.kind is AnswerKind.SOAP_FAULT:
        raise_alarm(parts, incident, "a mail is no ebXML message; nothing was answered (P19)")
        return
    if not answer.body:
        return
    partner = parts.entry(opened.envelope.sender.her_id)
    try:
        send_mail(parts, partner, answer.body, [], envelope_id=None)
    except (RemoteRefusalError, SettingsError) as error:  # it would be refused every time
        raise_alarm(parts, incident, f"a signal cannot be sent: {error.code}")
        return
    all_clear(parts, incident)


def send_mail(
    parts: Parts,
    partner: RegisterEntry | None,
    envelope: bytes,
    attachments: list[Attachment],
    *,
    envelope_id: str | None,
) -> None:
    """One mail to the partner's registered EDI address. Raises as ``MailSender.send`` does, and SettingsError."""
    mail = parts.settings.mail
    if mail is None or parts.mail_out is None:
        raise SettingsError("there is no mail road", code="EBXML.ROAD", where="mail", cure="add [mail]")
    if partner is None or partner.edi_address is None:
        raise SettingsError("the register has no EDI address for the partner", code="EBXML.ADDRESS")
    packed = _wrap(parts, mail.address, partner.edi_address, envelope, attachments)
    parts.mail_out.send(mail.address, partner.edi_address, packed.mail(), envelope_id=envelope_id)


def _wrap(parts: Parts, sender: str, receiver: str, envelope: bytes, attachments: list[Attachment]) -> Packed:
    """Message-ID, boundary and the envelope's Content-ID are new each time; nothing signed is."""
    domain = sender.rpartition("@")[2]
    head = MailHead(
        sender=sender,
        receiver=receiver,
        subject=SUBJECT,
        date=parts.now(),
        message_id=f"{parts.new_id()}@{domain}",
    )
    start = f"envelope-{parts.new_id()}@adapter"
    return pack_mail(envelope, attachments, head, boundary=f"part-{parts.new_id()}", content_id=start)
