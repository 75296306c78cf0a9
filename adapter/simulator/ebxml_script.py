"""What an ebXML partner does with envelopes: behaviours by name, beside those of ``partners`` for their documents.

``["ack lost", "apprec late 46800"]``: the first receipt of each message is lost, the AppRec comes after thirteen hours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from adapter.ebxml.words import ERROR_CODES
from adapter.errors import SettingsError
from adapter.simulator.partners import Script, read_script

EBXML_BEHAVIOURS: dict[str, str] = {
    "ack now": "the Acknowledgment comes at once: in the HTTP response, or as a mail (default)",
    "ack late": "it comes by itself so many seconds later; over HTTP the response is an empty 202: ack late 3600",
    "ack never": "the envelope is taken, and nothing is ever heard of it",
    "ack lost": "the first Acknowledgment of each message is lost; a resend gets it (ack lost 2: the first two)",
    "ack twice": "the Acknowledgment comes twice: in the response and by itself, or in two mails",
    "ack forged": "the Acknowledgment is signed with a key that is not the registered one",
    "ack unsigned": "the Acknowledgment is not signed",
    "ack other references": "the Acknowledgment proves other octets than those that came",
    "reject": "a MessageError with the code named: reject SecurityFailure",
    "reject unsigned": "the same, unsigned: reject unsigned SecurityFailure",
    "warn": "a MessageError with a warning only, which is a receipt: warn Inconsistent",
    "error late": "an Acknowledgment, and a MessageError so many seconds later: error late 259200 DeliveryFailure",
    "agreement only": "NAV: a CPAId that was not offered is answered with a MessageError DeliveryFailure",
    "certificate expired": "signs with a certificate that has expired and is the registered one still",
    "certificate old": "signs with a certificate that has expired and is not the registered one any more",
    "letters forged": "the partner's own messages are signed with a key that is not the registered one",
    "unsigned parts": "the partner's own messages carry a part that the signature does not cover",
    "cms raw": "the document is encrypted as it is (default of NAV)",
    "cms mime": "the document is encrypted as a MIME part (default of the others)",
    "cms gzip": "the document is compressed, then encrypted as it is",
    "bounce": "by mail: the receiving mail server takes the mail and sends it back as undeliverable",
    "mail refused": "by mail: our mail server refuses the address for good (550)",
    "mail later": "by mail: our mail server cannot take it now (451)",
    "duplicate": "each of the partner's own messages comes twice, with the same MessageId",
}
_SECONDS = ("ack late", "error late")
_CODES = ("reject", "reject unsigned", "warn", "error late")
_FORMS = ("cms raw", "cms mime", "cms gzip")


@dataclass(frozen=True, slots=True, kw_only=True)
class EbxmlScript:
    """A read script. Times are seconds of the clock; ``business`` is what happens with the document."""

    ack: str = "now"  # now | late | never
    ack_after_s: float = 0.0
    lost: int = 0
    flaw: str | None = None  # forged | unsigned | other references
    error: str | None = None  # the code of a MessageError in place of the Acknowledgment
    severity: str = "Error"
    error_signed: bool = True
    late_error: tuple[float, str] | None = None
    form: str | None = None  # raw | mime | gzip
    extras: frozenset[str] = frozenset()
    business: Script = field(default_factory=Script)


def read_ebxml_script(behaviours: Iterable[str]) -> EbxmlScript:
    """A script from its names; raises SettingsError for one that is neither in EBXML_BEHAVIOURS nor in BEHAVIOURS."""
    script, others = EbxmlScript(), []
    for behaviour in behaviours:
        behaviour = "reject" if behaviour == "transport reject" else behaviour  # as it is called on EDI 2.0
        known = (name for name in EBXML_BEHAVIOURS if behaviour == name or behaviour.startswith(name + " "))
        name = max(known, key=len, default=None)
        if name is None:
            others.append(behaviour)
        else:
            script = _with(script, name, behaviour[len(name) :].split())
    # How the envelope is received is decided here; the document's own script begins when it is.
    return replace(script, business=replace(read_script(others), ack="now", ack_after_s=0.0))


def _with(script: EbxmlScript, name: str, arguments: list[str]) -> EbxmlScript:
    seconds = _seconds(name, arguments.pop(0) if arguments else "") if name in _SECONDS else 0.0
    code = _code(name, arguments.pop(0) if arguments else "") if name in _CODES else ""
    if name == "ack late":
        return replace(script, ack="late", ack_after_s=seconds)
    if name in ("ack now", "ack never"):
        return replace(script, ack=name[4:])
    if name == "ack lost":
        return replace(script, lost=int(arguments[0]) if arguments and arguments[0].isdigit() else 1)
    if name in ("ack forged", "ack unsigned", "ack other references"):
        return replace(script, flaw=name[4:])
    if name in ("reject", "reject unsigned", "warn"):
        severity = "Warning" if name == "warn" else "Error"
        return replace(script, error=code, severity=severity, error_signed=name != "reject unsigned")
    if name == "error late":
        return replace(script, late_error=(seconds, code))
    if name in _FORMS:
        return replace(script, form=name[4:])
    return replace(script, extras=script.extras | {name})


def _seconds(name: str, argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise SettingsError("this behaviour needs a number of seconds", where=f"script: {name}") from None


def _code(name: str, argument: str) -> str:
    code = argument or "DeliveryFailure"
    if code not in ERROR_CODES:
        cure = f"one of: {', '.join(sorted(ERROR_CODES))}"
        raise SettingsError("there is no such error code", where=f"script: {name}", cure=cure)
    return code
