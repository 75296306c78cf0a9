"""What an agreement says of a received message: rules 110 to 114, and time stamps that a person should hear of.

We act on the time of receipt (practice P17): an agreement outside its period, or that the register has withdrawn, is
answered by an error; a time stamp outside it is a finding, and beyond the clocks' allowance an alarm. Whoever the
message does not concern is not judged: without an agreement of that name the register's facts alone decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from adapter.ebxml.agreement import Agreement
from adapter.ebxml.cpa import check_against
from adapter.ebxml.names import ErrorCode
from adapter.ebxml.rulebook import Act, Hit
from adapter.ebxml.words import Envelope
from adapter.errors import NotFoundError
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.parts import Parts
from adapter.model.resend import DEFAULT_PERSIST_S

_HEADER = "/Envelope/Header/MessageHeader"
_STAMP = f"{_HEADER}/MessageData/Timestamp"
NOT_AGREED, OTHERWISE_WRITTEN, FAR_OFF = "EB45", "EB43", "EB44"


def agreement_hits(parts: Parts, words: Envelope, tenant: str) -> tuple[Hit, ...]:
    """Failed rules of the agreement that a verified message names, and of its time stamp."""
    now = parts.now()
    hits = list(_of_agreement(parts, words, tenant, now))
    skew = timedelta(seconds=parts.settings.agreements.clock_skew_s)
    if _is_far_off(words.timestamp, now, skew):
        hits.append(Hit(FAR_OFF, _STAMP))
    _tell(parts, words, hits, skew, tenant)
    return tuple(hits)


def _of_agreement(parts: Parts, words: Envelope, tenant: str, now: datetime) -> Sequence[Hit]:
    if parts.agreements is None or not words.cpa_id:
        return ()
    try:
        held = parts.agreements.by_id(words.cpa_id, tenant=tenant)
    except NotFoundError:
        return (Hit("110", f"{_HEADER}/CPAId"),)
    if held is None:
        return ()
    hits, stop = check_against(held.agreement, words, now)
    if stop == "process_not_agreed":
        looser = _is_agreed_otherwise(held.agreement, words)
        place = f"{_HEADER}/Service" if looser else f"{_HEADER}/Action"
        hits.append(Hit(OTHERWISE_WRITTEN if looser else NOT_AGREED, place))
    if stop not in ("sender_not_in_cpa", "receiver_not_in_cpa") and not held.receives_at(now):
        hits.append(Hit("110", f"{_HEADER}/CPAId", act=Act.ERROR, code=ErrorCode.DELIVERY_FAILURE))
    return hits


def _is_agreed_otherwise(agreement: Agreement, words: Envelope) -> bool:
    """True when only the roles, or the ``S-`` of the Service, are not as agreed (standards digest 1.3); and for a
    receipt of a Service that is agreed: receipts are known by their document (ebXML practice 3.2)."""
    bare = (words.service or "").removeprefix("S-")
    for service in (bare, f"S-{bare}"):
        try:
            agreement.route(words.sender.ids, words.receiver.ids, service=service, action=words.action or "")
        except NotFoundError:
            continue
        return True
    party = agreement.party(words.sender.ids)
    services = {role.service.removeprefix("S-") for role in party.roles} if party is not None else set()
    return words.action == "APPREC" and bare in services


def _is_far_off(stamp: datetime | None, now: datetime, skew: timedelta) -> bool:
    """Ahead of us, or older than a message can be that is still sent again."""
    oldest = timedelta(seconds=DEFAULT_PERSIST_S)
    return stamp is not None and (stamp > now + skew or stamp < now - oldest - skew)


def _tell(parts: Parts, words: Envelope, hits: Sequence[Hit], skew: timedelta, tenant: str) -> None:
    """One incident for a partner, until a message of its comes with a time stamp that is in order."""
    name = f"partner's clock {words.sender.her_id}"
    rules = {hit.rule for hit in hits}
    if FAR_OFF in rules or (rules & {"113", "114"} and _beyond_period(parts, words, skew, tenant)):
        raise_alarm(parts, name, "a partner's time stamps are far from our clock, or outside its agreement's period")
    else:
        all_clear(parts, name)


def _beyond_period(parts: Parts, words: Envelope, skew: timedelta, tenant: str) -> bool:
    assert parts.agreements is not None
    held = parts.agreements.by_id(words.cpa_id or "", tenant=tenant)
    stamp = words.timestamp
    if held is None or stamp is None:
        return False
    start, end = held.agreement.start, held.agreement.end
    return (start is not None and stamp < start - skew) or (end is not None and stamp >= end + skew)
