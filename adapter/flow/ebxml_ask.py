"""Asking a partner: is your message handler there (Ping), and what became of this message (StatusRequest)?

1 build and sign   2 store the question   3 send it   4 the answer: in the HTTP response, or later
Used by agreement only (HIS 1037 3.2); a partner that knows neither stays silent or refuses. It moves no message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from adapter.ebxml.compose import question
from adapter.ebxml.names import Kind
from adapter.ebxml.opening import open_http
from adapter.ebxml.pack import pack_http
from adapter.ebxml.words import cpa_id_without_agreement
from adapter.errors import AdapterError, AmbiguousError, NotFoundError, SettingsError
from adapter.flow.agreements import Held, ids_of
from adapter.flow.ebxml_keys import company_signer, software_of
from adapter.flow.ebxml_mail import poll_mailbox
from adapter.flow.ebxml_post import send_mail
from adapter.flow.ebxml_seal import seal
from adapter.flow.ebxml_signals import end_question
from adapter.flow.operators import find
from adapter.flow.parts import Parts
from adapter.flow.processes import agreement_of
from adapter.model.partner import RegisterEntry
from adapter.model.wire import EBXML_HTTP, EBXML_ROADS
from adapter.store import journal, outbox, signals
from adapter.store.statements import Row

LOOK_S = 2.0  # between two looks while an answer is awaited
Pause = Callable[[float], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class PingOutcome:
    """What came of a question. ``result`` is answered, refused or no answer; ``seconds`` from storing to the answer.

    ``status`` is the partner's word on the message that was asked about, ``errors`` the codes of a refusal, ``code``
    why the question could not be sent. ``signed``: the partner's registered certificate has signed the answer.
    """

    result: str
    message_id: str
    partner: int
    road: str
    seconds: float | None = None
    status: str | None = None
    errors: tuple[str, ...] = ()
    signed: bool | None = None
    code: str | None = None

    @property
    def well(self) -> bool:
        """True when the partner answered, and knows the message that was asked about."""
        return self.result == "answered" and self.status in (None, "Received", "Processed", "Forwarded")


def ping(parts: Parts, partner: int, *, sender: int, wait_s: float, pause: Pause) -> PingOutcome:
    """Ask whether the partner's message handler is there; waits up to ``wait_s`` seconds for the Pong.

    Raises SettingsError when the partner is not reached over ebXML or keys are missing, NotFoundError for a stranger,
    TransportError when our own mailbox cannot be read.
    """
    return _ask(parts, Kind.PING, partner, sender, None, wait_s, pause)


def ask_status(parts: Parts, any_id: str, *, partner: int | None = None, wait_s: float, pause: Pause) -> PingOutcome:
    """Ask a receiver what became of a message of ours. ``partner`` chooses one of several receivers.

    Raises NotFoundError for a message that has not left over ebXML, AmbiguousError for several receivers, and as
    ``ping`` does.
    """
    with parts.store.reading() as db:
        message = outbox.find_message(db, find(parts, any_id))
        assert message is not None
        rows = [row for row in outbox.deliveries(db, message["id"]) if _left(row) and partner in (None, row["party"])]
    if not rows:
        raise NotFoundError("no such message has left over ebXML", cure="see: adapter show ID")
    if len(rows) > 1:
        listed = ", ".join(str(row["party"]) for row in rows)
        raise AmbiguousError(f"the message has several receivers: {listed}", cure="name one of them")
    return _ask(parts, Kind.STATUS_REQUEST, rows[0]["party"], message["sender"], rows[0]["remote_id"], wait_s, pause)


def _left(row: Row) -> bool:
    return row["direction"] == "out" and row["road"] in EBXML_ROADS and row["remote_id"] is not None


def _ask(
    parts: Parts, kind: Kind, party: int, sender: int, about: str | None, wait_s: float, pause: Pause
) -> PingOutcome:
    partner = parts.book().find(party)
    road = agreement_of(partner).road
    if road not in EBXML_ROADS:
        raise SettingsError("the partner is not reached over ebXML", code="EBXML.ROAD", where=f"HER-id {party}")
    tenant = parts.tenant_of(sender)
    if tenant.listen_only:
        raise SettingsError("this tenant only listens: another system speaks for it", code="P12.LISTEN")
    held = _agreement(parts, tenant.name, sender, party)
    asked = _store(parts, kind, partner, sender, about, road, held)
    try:
        _send(parts, asked, partner, road, held)
    except AdapterError as error:
        with parts.store.transaction() as db:
            ids = {"tenant": asked["tenant"], "message_id": asked["id"]}
            detail = {"code": error.code}
            journal.add_event(db, at=parts.store.now_us(), kind="question not sent", detail=detail, **ids)
        if isinstance(error, SettingsError):
            raise
        return PingOutcome(result="no answer", message_id=asked["id"], partner=party, road=road, code=error.code)
    _wait(parts, asked, road, wait_s, pause)
    return _outcome(parts, asked, party, road)


def _agreement(parts: Parts, tenant: str, ours: int, partner: int) -> Held | None:
    """The newest agreement of the two that something may be sent under; None without one."""
    held = parts.agreements.between(ours, partner, tenant=tenant) if parts.agreements is not None else ()
    return next((one for one in held if one.sends_at(parts.now())), None)


def _store(
    parts: Parts,
    kind: Kind,
    partner: RegisterEntry,
    sender: int,
    about: str | None,
    road: str,
    held: Held | None,
) -> Row:
    """Build, sign and store; only then may a byte leave."""
    agreed = agreement_of(partner).cpa_id or (held.agreement.id if held is not None else None)
    tenant = parts.tenant_of(sender)
    message_id = parts.new_id()
    words = question(
        kind,
        sender=sender,
        receiver=partner.her_id,
        cpa_id=agreed or cpa_id_without_agreement(sender, partner.her_id),
        conversation_id=parts.new_id(),
        message_id=message_id,
        now=parts.now(),
        software=software_of(parts),
        asked_message_id=about,
    )
    envelope = seal(words, company_signer(parts, tenant), {})
    with parts.store.transaction() as db:
        signals.add_question(
            db,
            message_id=message_id,
            tenant=tenant.name,
            kind=kind.value,
            sender=sender,
            envelope=envelope,
            at=parts.store.now_us(),
            detail={"partner": partner.her_id, "road": road, **({"about": about} if about else {})},
        )
        stored = signals.find_question(db, message_id, (kind.value,))
    assert stored is not None
    return stored


def _send(parts: Parts, asked: Row, partner: RegisterEntry, road: str, held: Held | None) -> None:
    with parts.store.reading() as db:
        envelope = journal.read_payload(db, asked["id"], "envelope")
    if road != EBXML_HTTP:
        send_mail(parts, partner, envelope, [], envelope_id=None, tenant=asked["tenant"])
        return
    url = agreement_of(partner).endpoint or _agreed_endpoint(asked["sender"], partner.her_id, held)
    if url is None or parts.ebxml_http is None:
        text, cure = "nothing names the partner's endpoint", "set endpoint in its _agreement"
        raise SettingsError(text, code="EBXML.ENDPOINT", where=f"HER-id {partner.her_id}", cure=cure)
    packed = pack_http(envelope, [], boundary="none", content_id=f"envelope-{parts.new_id()}@adapter")
    reply = parts.ebxml_http.post(url, packed.headers, packed.pieces)
    if reply.body:
        end_question(parts, asked, open_http(reply.headers.items(), reply.body), reply.body, in_response=True)


def _agreed_endpoint(ours: int, partner: int, held: Held | None) -> str | None:
    """Where the agreement wants signals, when that is over HTTP."""
    if held is None:
        return None
    try:
        channel = held.agreement.signal_route(ids_of(ours), ids_of(partner), Kind.PING.value).receiver_channel
    except NotFoundError:
        return None
    endpoint = channel.endpoint() if channel.by_http else None
    return endpoint.uri if endpoint is not None else None


def _wait(parts: Parts, asked: Row, road: str, wait_s: float, pause: Pause) -> None:
    """Look for the answer until it is there or the time is over; by mail it comes through our own mailbox."""
    until = parts.now() + timedelta(seconds=wait_s)
    mailbox = parts.mail_of(asked["tenant"]) if road != EBXML_HTTP else None
    while not _ended(parts, asked) and not parts.stopping.is_set():
        if mailbox is not None and poll_mailbox(parts, mailbox) and _ended(parts, asked):
            return
        left = (until - parts.now()).total_seconds()
        if left <= 0:
            return
        pause(min(LOOK_S, left))


def _ended(parts: Parts, asked: Row) -> bool:
    with parts.store.reading() as db:
        return signals.outcome_of(db, asked["id"]) is not None


def _outcome(parts: Parts, asked: Row, party: int, road: str) -> PingOutcome:
    with parts.store.reading() as db:
        said = signals.outcome_of(db, asked["id"])
        since = signals.asked_at(db, asked["id"])
    if said is None:
        return PingOutcome(result="no answer", message_id=asked["id"], partner=party, road=road)
    detail = said["detail"] or {}
    return PingOutcome(
        result="answered" if said["kind"] == signals.ANSWERED else "refused",
        message_id=asked["id"],
        partner=party,
        road=road,
        seconds=(said["at"] - since) / 1e6,
        status=detail.get("status"),
        errors=tuple(detail.get("errors") or ()),
        signed=detail.get("signed"),
    )
