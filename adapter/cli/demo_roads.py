"""The demo's two roads: one referral over EDI 2.0, and over ebXML by mail, where a resend heals a lost receipt.

What is told is read from the adapter's events and from what the other side saw; nothing is told that did not happen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from adapter.assembly import Adapter
    from adapter.simulator import Simulation
    from adapter.simulator.ebxml_ledger import EbxmlEntry

APPREC_AFTER_S = 46_800.0  # an hour after the resend
BY_EDI, BY_EBXML = "accepted by the frisklivssentral", "the same over ebXML, by mail"
_EDI_WORDS: Mapping[str, str] = {
    "submitted": "built, checked and stored; from here on it cannot be lost",
    "sent": "posted to the national message server, which took it",
    "confirmed": "the message server says: the receiver has it",
}
_EBXML_WORDS: Mapping[str, str] = {
    "submitted": _EDI_WORDS["submitted"],
    "sealed": "encrypted for the receiver, put into an envelope, signed with our company key and stored",
    "mailed": "our mail server took it; whether it arrives is not known until the receiver's receipt comes",
    "confirmed": "acknowledged: signed with the receiver's registered key, and it names the digests of our envelope",
}
Line = tuple[str, str]  # when (ISO), what


def refer_by_mail(adapter: Adapter, simulation: Simulation) -> str:
    """Submit the referral again, to a frisklivssentral that is reached by mail; its first receipt will be lost."""
    import dataclasses

    from adapter.cli.demo_world import read_input
    from adapter.model.message import ReceiverChoice
    from adapter.simulator import world as place

    simulation.script(place.MYRDAL_FRISKLIV, "ack lost", f"apprec late {APPREC_AFTER_S:g}", "reply")
    choice = ReceiverChoice(municipality="9903", service_code="KX04")
    return adapter.submit(
        dataclasses.replace(read_input("referral-frisklivssentral-pdf"), receiver=choice), key="demo-5"
    )


def tell_roads(adapter: Adapter, simulation: Simulation, sent: Mapping[str, str]) -> list[str]:
    """Both timelines, for a reader who knows neither road; gives what did not come out as it should."""
    from adapter.simulator import world as place

    click.secho(f"\nEDI 2.0: over the message server to {_name(simulation, place.GRANLI_FRISKLIV)}", fg="cyan")
    _print(_edi_lines(adapter.show(sent[BY_EDI])["events"]))
    click.secho(f"\nebXML: by mail to {_name(simulation, place.MYRDAL_FRISKLIV)}", fg="cyan")
    seen = simulation.ebxml.entries(place.MYRDAL_FRISKLIV)
    _print([*_ebxml_lines(adapter.show(sent[BY_EBXML])["events"]), *_their_lines(seen)])
    return _missed(seen)


def _name(simulation: Simulation, her_id: int) -> str:
    return f"{her_id} {simulation.world.units[her_id].name}"


def _print(lines: Sequence[Line]) -> None:
    from adapter.cli.timeline import local_time

    for at, what in sorted(lines, key=lambda line: line[0]):
        click.echo(f"    {local_time(at)[:16]}  {what}")


def _edi_lines(events: Sequence[Mapping[str, Any]]) -> list[Line]:
    lines = [(event["at"], _EDI_WORDS[event["kind"]]) for event in events if event["kind"] in _EDI_WORDS]
    return [*lines, *_answers(events)]


def _ebxml_lines(events: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    mailed_at = None
    for event in events:
        kind, at = event["kind"], event["at"]
        if kind == "resending" and mailed_at is not None:
            hours = (datetime.fromisoformat(at) - datetime.fromisoformat(mailed_at)).total_seconds() // 3600
            yield at, click.style(f"no receipt for {hours:.0f} hours: the stored envelope goes again", fg="yellow")
        elif kind in _EBXML_WORDS:
            yield at, _EBXML_WORDS[kind]
        mailed_at = at if kind == "mailed" else mailed_at
    yield from _answers(events)


def _answers(events: Sequence[Mapping[str, Any]]) -> list[Line]:
    words = {"accepted": "AppRec: read and accepted", "rejected": "AppRec: rejected"}
    return [(event["at"], words[event["kind"]]) for event in events if event["kind"] in words]


def _their_lines(seen: Sequence[EbxmlEntry]) -> Iterator[Line]:
    """What the other side saw of our envelopes and did about them."""
    first: EbxmlEntry | None = None
    for entry in seen:
        at = entry.when.isoformat()
        if entry.kind == "payload" and entry.way == "in":
            if first is None:
                first = entry
                yield at, _theirs(f"envelope {entry.message_id} arrives")
            elif (entry.message_id, entry.digest) == (first.message_id, first.digest):
                yield at, _theirs("the same envelope again, the same to the last byte: no second referral, a receipt")
        elif entry.note == "lost":
            yield at, _theirs("acknowledged at once, but the Acknowledgment is lost on its way")


def _theirs(words: str) -> str:
    return click.style(f"    the receiver: {words}", dim=True)


def _missed(seen: Sequence[EbxmlEntry]) -> list[str]:
    """The story must have happened: two sendings of one envelope, and the first receipt lost."""
    missed = []
    sendings = [entry for entry in seen if entry.kind == "payload" and entry.way == "in"][:2]
    if len(sendings) != 2 or sendings[0].digest != sendings[1].digest:
        missed.append(f"{BY_EBXML}: not sent twice as the same envelope")
    if not any(entry.note == "lost" for entry in seen):
        missed.append(f"{BY_EBXML}: no receipt was lost")
    return missed
