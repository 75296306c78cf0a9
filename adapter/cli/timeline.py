"""A message for people: what it is, who has it, and what happened when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

COLOURS = {"delivered": "green", "rejected": "red", "attention": "yellow", "receipted": "green", "handed over": "green"}
_HEAD = ("msg_type", "direction", "sender", "msg_id", "document_id", "conversation")


def draw(shown: Mapping[str, Any]) -> None:
    """Print what ``Adapter.show`` gave: the message, one line a receiver, one line an event."""
    message: Mapping[str, Any] = shown.get("message", shown)
    click.secho(f"message {message.get('id', '')}", bold=True)
    for field in _HEAD:
        if message.get(field):
            click.echo(f"  {field:13}{message[field]}")
    for delivery in shown.get("deliveries", ()):
        click.echo(f"  {_delivery(delivery)}")
    events: Sequence[Mapping[str, Any]] = shown.get("events", ())
    for event in events:
        click.echo(f"    {line(event)}")


def _delivery(delivery: Mapping[str, Any]) -> str:
    state = str(delivery.get("state", ""))
    words = [f"to {delivery.get('party')}:", click.style(state, fg=COLOURS.get(state))]
    detail = [f"{name} {delivery[name]}" for name in ("leg", "answer", "step") if delivery.get(name)]
    if detail:
        words.append(f"({', '.join(detail)})")
    if delivery.get("attention"):
        words.append(click.style(f"needs attention: {delivery['attention']}", fg="yellow"))
    for fault in delivery.get("errors") or ():
        words.append(click.style(_fault(fault), fg="red"))
    return " ".join(words)


def _fault(fault: object) -> str:
    if isinstance(fault, Mapping):
        return " ".join(str(fault[name]) for name in ("code", "name", "text") if fault.get(name))
    return str(fault)


def line(event: Mapping[str, Any]) -> str:
    """One event: time, what, from which state to which, and the remarks that are safe to show."""
    words = [str(event.get("at", "")), f"{event.get('kind', ''):22}"]
    old, new = event.get("old"), event.get("new")
    if new:
        words.append(f"{old} → {new}" if old else str(new))
    facts = event.get("facts") or event.get("detail")
    if isinstance(facts, Mapping) and facts:
        words.append(" ".join(f"{name}={value}" for name, value in facts.items()))
    elif facts:
        words.append(str(facts))
    return " ".join(words)
