"""Acting on one message: requeue, cancel, settle (P26)."""

from __future__ import annotations

import click

from adapter.cli import output
from adapter.cli.app import OK, Shared
from adapter.cli.opening import json_option, opened

_ID = click.argument("message_id", metavar="ID")


@click.command()
@_ID
@click.option("--reason", required=True, help="Why it is sent again. It is written to the message's events.")
@json_option
@click.pass_obj
def requeue(shared: Shared, message_id: str, reason: str, as_json: bool) -> int:
    """Send a refused, abandoned or suspended message again: same id, same bytes.

    A message that the receiver has acknowledged or answered is refused here: correct it and submit a new one.

    \b
    Example:
      adapter requeue 0f2c81aa --reason "address registered now"
    """
    with opened(shared) as adapter:
        adapter.requeue(message_id, reason)
    return _done(message_id, "queued again", as_json)


@click.command()
@_ID
@json_option
@click.pass_obj
def cancel(shared: Shared, message_id: str, as_json: bool) -> int:
    """Withdraw a message that has not been sent yet.

    Once it is sent, the receiver must be told: submit the referral again with service_type "C" (Kansellering).

    \b
    Example:
      adapter cancel 0f2c81aa
    """
    with opened(shared) as adapter:
        adapter.cancel(message_id)
    return _done(message_id, "cancelled", as_json)


@click.command()
@_ID
@click.option("--by", required=True, metavar="NAME", help="Who has looked at it.")
@click.option("--note", required=True, metavar="TEXT", help="What was done. Write no patient's name or number here.")
@json_option
@click.pass_obj
def settle(shared: Shared, message_id: str, by: str, note: str, as_json: bool) -> int:
    """Take a message off the attention list after somebody has dealt with it.

    \b
    Example:
      adapter settle 0f2c81aa --by "Kari, desk 2" --note "called the receiver, they will register it by hand"
    """
    with opened(shared) as adapter:
        adapter.settle(message_id, by, note)
    return _done(message_id, "settled", as_json)


def _done(message_id: str, what: str, as_json: bool) -> int:
    if as_json:
        output.json_line({"id": message_id, "result": what})
    else:
        click.echo(f"{message_id} {what}")
    return OK
