"""The error table of EDI 2.0 version 2: a status, a code and the kind of call give one of our errors."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from adapter.errors import AccessError, AdapterError, RemoteRefusalError, TransportError, UnknownOutcomeError
from adapter.transport.call import TOO_LARGE, Answer
from adapter.transport.edi20_json import ErrorFacts, read_error

_LONGEST_RETRY_AFTER_S = 3600.0
# The server's own codes. Those of one message must not stop a whole tenant, whatever status they come with.
_MEANING = {
    1000: "the request does not fit the model",
    1001: "the request is invalid",
    1010: "no such message",
    1100: "an AppRec cannot be acknowledged",
    1102: "the acknowledging HER-id is no receiver of the message",
    1200: "the addressees cannot be read from the document",
    1201: "we are neither sender nor receiver of the message",
    1202: "the HER-id is not ours to use",
    1210: "the HER-id is locked by another client",
}
_OF_ONE_MESSAGE = frozenset({1100, 1102, 1200, 1201})
_BY_STATUS = {
    400: "the request is invalid",
    401: "the token or its proof is not accepted",
    403: "not authorised",
    404: "no such message, or it has been removed",
    413: "the request is too large",
    415: "the request's media type is not accepted",
    423: "the HER-id is locked by another client",
}


def judge(answer: Answer, place: str, *, safe: bool, now: datetime) -> AdapterError:
    """The error for an answer that is no success. ``place`` is method and path without ids; ``safe`` is False for POST.

    A POST answered with 5xx or 408 may have been carried out (P2); 429 and redirects come before any work is done.
    """
    facts = read_error(answer.body)
    status = answer.status
    wait = read_retry_after(answer.headers.get("Retry-After"), now)
    if status == 429 or 300 <= status < 400:
        if status == 303 and not safe:
            return UnknownOutcomeError(f"{place}: answered with a redirect after the fact", code="EDI.REDIRECT")
        why = "too many calls" if status == 429 else "a redirect, which is not followed"
        return TransportError(f"{place}: status {status}, {why}", retry_after_s=wait)
    if status >= 500 or status == 408 or (status == 400 and facts.cancelled) or status < 300:
        return _unsettled(f"{place}: {_describe(status, facts)}", safe=safe, wait=wait)
    text = f"{place}: {_describe(status, facts)}"
    refused = status in (401, 403, 423) and facts.code not in _OF_ONE_MESSAGE
    kind = AccessError if refused else RemoteRefusalError
    return kind(text, status=status, remote_code=facts.code, request_id=facts.request_id)


def judge_reply(answer: Answer, place: str, *, safe: bool) -> AdapterError:
    """The error for a success whose content is not what the API promises.

    An answer to a question that is too large will be so next time: it is a refusal, so that one message is looked past
    and does not hold up the rest (P12).
    """
    if safe and answer.broken == TOO_LARGE:
        return RemoteRefusalError(f"{place}: {answer.broken}", status=answer.status)
    why = answer.broken or "not the promised content"
    return _unsettled(f"{place}: status {answer.status}, but {why}", safe=safe, wait=None)


def _unsettled(text: str, *, safe: bool, wait: float | None) -> TransportError:
    kind = TransportError if safe else UnknownOutcomeError
    return kind(text, retry_after_s=wait)


def _describe(status: int, facts: ErrorFacts) -> str:
    meaning = _MEANING.get(facts.code or 0) or _BY_STATUS.get(status) or "the server failed"
    if facts.cancelled:
        meaning = "the request was cancelled on the way"
    parts = [f"status {status}", meaning]
    if facts.code:
        parts.append(f"code {facts.code}")
    if facts.her_ids:
        parts.append(f"HER-id {' '.join(facts.her_ids)}")
    if facts.faults:
        parts.append(f"{facts.faults} faults listed")
    if facts.request_id:
        parts.append(f"request {facts.request_id}")
    return ", ".join(parts)


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds to wait, from seconds or an HTTP date; at most an hour, so that no server can park us for good."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_RETRY_AFTER_S)
    when = read_http_date(text)
    return None if when is None else min(max((when - now).total_seconds(), 0.0), _LONGEST_RETRY_AFTER_S)


def read_http_date(text: str | None) -> datetime | None:
    """An HTTP date as aware UTC, None when it is missing or malformed."""
    try:
        when = parsedate_to_datetime(text or "")
    except (ValueError, TypeError):
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
