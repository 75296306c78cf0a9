"""A message for people: what it is, who has it, and what happened when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click

COLOURS = {
    "delivered": "green",
    "receipted": "green",
    "handed over": "green",
    "accepted": "green",
    "rejected": "red",
    "attention": "yellow",
    "conflict": "yellow",
    "quarantined": "yellow",
    "refused": "yellow",
}
_HEAD = (("msg_id", "MsgId"), ("document_id", "document"), ("conversation", "conversation"))
_NOBODY: Mapping[int, str] = {}
# Facts of an event that a person reads; the rest is in --json.
_TOLD = (
    "reason",
    "code",
    "line",
    "rules",
    "differs",
    "decision",
    "consumer",
    "by",
    "note",
    "result",
    "attempts",
    "via",
    "status",
)


def draw(shown: Mapping[str, Any], names: Mapping[int, str] = _NOBODY) -> None:
    """Print what ``Adapter.show`` gave: the message, one line a receiver, one line an event. ``names`` by HER-id."""
    message: Mapping[str, Any] = shown["message"]
    way = "to" if message.get("direction") == "out" else "at"
    click.echo(f"{click.style(message.get('msg_type') or 'unreadable', bold=True)}  {message['id']}")
    if message.get("sender"):
        click.echo(f"  from {_party(message['sender'], names)}")
    for delivery in shown.get("deliveries", ()):
        click.echo(f"  {_delivery(way, delivery, names)}")
    for field, name in _HEAD:
        if message.get(field):
            click.echo(f"  {name} {message[field]}")
    for event in shown.get("events", ()):
        click.echo(f"    {line(event)}")


def _party(her_id: int, names: Mapping[int, str]) -> str:
    return f"{her_id} {names[her_id]}" if her_id in names else str(her_id)


def _delivery(way: str, delivery: Mapping[str, Any], names: Mapping[int, str]) -> str:
    state = str(delivery["state"])
    words = [f"{way} {_party(delivery['party'], names)}:", click.style(state, fg=COLOURS.get(state))]
    detail = [f"{name} {delivery[name]}" for name in ("leg", "answer") if delivery.get(name)]
    if detail:
        words.append(f"({', '.join(detail)})")
    faults = faults_of(delivery.get("errors"))
    if faults:
        words.append(click.style(faults, fg="red"))
    if delivery.get("attention"):
        words.append(click.style(f"needs attention: {delivery['attention']}", fg="yellow"))
    return " ".join(words)


def faults_of(errors: object) -> str:
    """Coded errors in one line: "E36 Pasientopplysninger er utilstrekkelige"."""
    if isinstance(errors, Mapping):
        errors = errors.get("errors")
    if not isinstance(errors, Iterable) or isinstance(errors, str):
        return ""
    return "; ".join(_fault(error) for error in errors)


def _fault(error: object) -> str:
    if not isinstance(error, Mapping):
        return str(error)
    words = [str(error[name]) for name in ("code", "text", "more") if error.get(name)]
    return " ".join(dict.fromkeys(words))


def line(event: Mapping[str, Any]) -> str:
    """One event: Norwegian time, what, from which state to which, and the remarks that a person reads."""
    words = [local_time(event.get("at")), f"{event.get('kind', ''):20}"]
    old, new = event.get("old"), event.get("new")
    if new:
        words.append(f"{old} → {new}" if old else str(new))
    detail = event.get("detail")
    if isinstance(detail, Mapping):
        words += [f"{name} {_value(detail[name])}" for name in _TOLD if detail.get(name)]
        faults = faults_of(detail.get("errors"))
        if faults:
            words.append(click.style(faults, fg="red"))
    return " ".join(words).rstrip()


def _value(value: object) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)


def local_time(at: object) -> str:
    """An ISO time as Norwegian time for people; anything else as it is."""
    from adapter.cli.opening import norwegian

    try:
        return norwegian(datetime.fromisoformat(str(at))).isoformat(" ")
    except ValueError:
        return str(at)
