"""What the other side does with a message: scripts by name, per receiver HER-id and optionally per message.

A script is a list of behaviours, each a name with an optional argument, for instance ``["ack late 60", "apprec rejected
E21"]``. What a partner does happens at the beginning of the next request at the earliest, so that an answer can be
seen before or after the sender has noted its own POST, as on a real network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from adapter.codes import Coded
from adapter.errors import SettingsError
from adapter.simulator.postoffice import Delivery, PostOffice, Stored

BEHAVIOURS: dict[str, str] = {
    "ack now": "the transport acknowledges at once (default)",
    "ack late": "the transport acknowledges after so many seconds of the clock: ack late 3600",
    "ack never": "the transport never acknowledges and nothing else happens",
    "transport reject": "the transport refuses the message",
    "apprec ok": "AppRec with status 1 (default)",
    "apprec rejected": "AppRec with status 2 and the code named: apprec rejected E21",
    "apprec partial": "AppRec with status 3 and one error",
    "apprec twice": "the same positive AppRec in two documents",
    "apprec contradictory": "a positive AppRec, then a negative one",
    "apprec late": "the AppRec comes so many seconds later: apprec late 86400",
    "silent": "acknowledged by the transport, never an AppRec",
    "refuse repeats": "a MsgId that came before is rejected (otherwise it is acknowledged and passed over in silence)",
    "duplicate": "the partner's business answer is delivered twice with the same MsgId and bytes",
    "garbage": "besides the rest, bytes that are no XML come into the sender's inbox",
    "reply": "after the AppRec, the business answer that fits the message",
    "judge": "NAV: process names, signature, rules; refuses what it has seen before; then as scripted",
    "ask": "NAV: a question about the patient after the AppRec",
    "remind": "NAV: the question, and a reminder so many seconds later: remind 86400",
}
REPEATED = "Duplikat! Meldingen er mottatt før og skal ikke sendes på nytt."
_NUMBERS = {"ack late", "apprec late", "remind"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A read script. Times are seconds of the clock."""

    ack: str = "now"  # now | never | reject
    ack_after_s: float = 0.0
    apprec: str = "ok"  # ok | rejected | partial | twice | contradictory | silent
    apprec_after_s: float = 0.0
    code: str = "X99"
    words: str = ""
    extras: frozenset[str] = frozenset()
    remind_after_s: float = 86_400.0


def read_script(behaviours: Iterable[str]) -> Script:
    """A script from its names; raises SettingsError for one that is not in BEHAVIOURS."""
    script = Script()
    for behaviour in behaviours:
        name = next((known for known in sorted(BEHAVIOURS, key=len, reverse=True) if _begins(behaviour, known)), None)
        if name is None:
            raise SettingsError("there is no such behaviour", where="script", cure=f"one of: {', '.join(BEHAVIOURS)}")
        script = _with(script, name, behaviour[len(name) :].strip())
    return script


def _begins(behaviour: str, name: str) -> bool:
    return behaviour == name or behaviour.startswith(name + " ")


def _with(script: Script, name: str, argument: str) -> Script:
    seconds = _seconds(name, argument) if name in _NUMBERS else 0.0
    if name == "ack late":
        return replace(script, ack="now", ack_after_s=seconds)
    if name == "apprec late":
        return replace(script, apprec_after_s=seconds)
    if name == "transport reject":
        return replace(script, ack="reject")
    if name == "silent":
        return replace(script, apprec="silent")
    if name == "apprec rejected":
        code, _, words = argument.partition(" ")
        return replace(script, apprec="rejected", code=code or "X99", words=words)
    if name.startswith("ack "):
        return replace(script, ack=name[4:])
    if name.startswith("apprec "):
        return replace(script, apprec=name[7:])
    extras = script.extras | ({"ask", "remind"} if name == "remind" else {name})
    return replace(script, extras=extras, remind_after_s=seconds or script.remind_after_s)


def _seconds(name: str, argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise SettingsError("this behaviour needs a number of seconds", where=f"script: {name}") from None


Answerer = Callable[[Stored, Delivery, Script], None]
ReceiptWriter = Callable[[Stored, int, str, tuple[tuple[str, str], ...]], Stored]


@dataclass(slots=True)
class Partners:
    """Plays the scripts. ``write_receipt`` delivers an AppRec; ``answerers`` write business answers, by HER-id."""

    office: PostOffice
    write_receipt: ReceiptWriter
    scripts: dict[int, Script]
    answerers: dict[int, Answerer]
    judges: dict[int, Callable[[Stored, Delivery], list[tuple[str, str]] | None]]
    by_message: dict[tuple[int, str], Script]
    _known: set[tuple[int, int | None, str]] = field(default_factory=set)

    def arrived(self, stored: Stored, delivery: Delivery) -> None:
        """A message came for a receiver. One without a script has its own system: it just becomes visible."""
        script = self.by_message.get((delivery.receiver, (stored.msg_id or "").lower())) or self.scripts.get(
            delivery.receiver
        )
        if script is None:
            self.office.make_visible(stored, delivery)
        elif script.ack == "reject":
            self.office.later(0, lambda: _reject(delivery))
        elif script.ack == "never":
            delivery.sent = True
        else:
            self.office.later(script.ack_after_s, lambda: self._acknowledged(stored, delivery, script))

    def _acknowledged(self, stored: Stored, delivery: Delivery, script: Script) -> None:
        delivery.transport, delivery.sent = "Acknowledged", True
        if "garbage" in script.extras and stored.sender is not None:
            self.office.inject(b"\x00\xff this is no message \x00", stored.sender, sender=delivery.receiver)
        if stored.is_apprec or stored.envelope is None:
            return
        known = (delivery.receiver, stored.sender, (stored.msg_id or stored.id).lower())
        if known in self._known and "judge" not in script.extras:
            if "refuse repeats" in script.extras:
                self.write_receipt(stored, delivery.receiver, "2", (("X99", REPEATED),))
            return
        self._known.add(known)
        self.office.later(script.apprec_after_s, lambda: self._answer(stored, delivery, script))

    def _answer(self, stored: Stored, delivery: Delivery, script: Script) -> None:
        judge = self.judges.get(delivery.receiver)
        if judge is not None and "judge" in script.extras:
            errors = judge(stored, delivery)
            if errors is None:
                return  # parked without a word
            if errors:
                self.write_receipt(stored, delivery.receiver, "2", tuple(errors))
                return
        self._acknowledge(stored, delivery.receiver, script)
        answerer = self.answerers.get(delivery.receiver)
        if answerer is not None and script.apprec not in ("rejected", "silent"):
            answerer(stored, delivery, script)

    def _acknowledge(self, stored: Stored, acknowledger: int, script: Script) -> None:
        error = (script.code, script.words or Coded.of(8221, script.code).name or script.code)
        sequence: dict[str, tuple[str, ...]] = {
            "ok": ("1",),
            "rejected": ("2",),
            "partial": ("3",),
            "twice": ("1", "1"),
            "contradictory": ("1", "2"),
            "silent": (),
        }
        for status in sequence[script.apprec]:
            self.write_receipt(stored, acknowledger, status, (error,) if status != "1" else ())


def _reject(delivery: Delivery) -> None:
    delivery.transport, delivery.sent = "Rejected", True
