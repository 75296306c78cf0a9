"""Looking: list, show, export."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from adapter.cli import output
from adapter.cli.app import OK, REFUSED, Shared
from adapter.cli.opening import TimeParameter, json_option, opened, tenant_option
from adapter.cli.timeline import draw, local_time

COLUMNS = {
    "message_id": "id",
    "direction": "way",
    "state": "state",
    "msg_type": "type",
    "sender": "from",
    "party": "to",
    "attention": "attention",
    "queued_at": "since",
}


@click.command("list")
@click.option("--attention", is_flag=True, help="Only what needs a person, most urgent first; exit code 1 if any.")
@click.option("--party", type=int, metavar="HER-ID", help="Only messages with this partner or address.")
@click.option("--state", metavar="STATE", help="A leg, answer, step or outcome: queued, awaited, overdue, delivered …")
@click.option("--since", type=TimeParameter(), metavar="TIME", help="Only messages from this time on.")
@click.option("--text", metavar="TEXT", help="Part of an id, a message type or a reason. Never searches patients.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=200, show_default=True, help="At most so many rows.")
@tenant_option
@json_option
@click.pass_obj
def list_(
    shared: Shared,
    attention: bool,
    party: int | None,
    state: str | None,
    since: datetime | None,
    text: str | None,
    limit: int,
    tenant: str | None,
    as_json: bool,
) -> int:
    """List messages, newest first.

    \b
    Examples:
      adapter list
      adapter list --attention            what needs a person now?
      adapter list --party 8094866 --state overdue
      adapter list --since 2026-11-01 --text HENVISNING --json
    """
    with opened(shared) as adapter:
        rows = adapter.list(
            attention=attention, party=party, state=state, since=since, text=text, tenant=tenant, limit=limit
        )
    if as_json:
        for row in rows:
            output.json_line(row)
    else:
        output.table([{**row, "queued_at": local_time(row["queued_at"])} for row in rows], COLUMNS)
        if not rows:
            output.note("nothing needs attention" if attention else "no messages")
    return REFUSED if attention and rows else OK


@click.command()
@click.argument("message_id", metavar="ID")
@json_option
@click.pass_obj
def show(shared: Shared, message_id: str, as_json: bool) -> int:
    """Show one message: its receivers, its receipts and every event, without its content.

    ID is the message's id, a delivery's id, the MsgId or the server's id; eight characters are enough.

    \b
    Examples:
      adapter show 0f2c81aa
      adapter show 0f2c81aa-3c1d-4b53-9a0e-52c3c3f0a7d1 --json
    """
    with opened(shared) as adapter:
        shown = adapter.show(message_id)
    if as_json:
        output.json_line(shown)
    else:
        draw(shown)
    return OK


@click.command()
@click.argument("message_id", metavar="ID")
@click.option("--reason", required=True, help="Why you need the content. It is written to the message's events.")
@click.option(
    "-o", "--out", "folder", required=True, metavar="FOLDER", help="Where to; files are readable by you alone."
)
@json_option
@click.pass_obj
def export(shared: Shared, message_id: str, reason: str, folder: str, as_json: bool) -> int:
    """Write the stored bytes of a message to a folder: the document, its receipts, what the server answered.

    \b
    Example:
      adapter export 0f2c81aa --reason "case 4711: receiver cannot open the PDF" -o case-4711
    """
    target = Path(folder)
    with opened(shared) as adapter:
        roles = [str(payload["role"]) for payload in adapter.show(message_id)["payloads"]]
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for role in roles:
            content = adapter.export(message_id, reason, role)
            path = target / f"{message_id}-{role}.{'xml' if content.lstrip()[:1] == b'<' else 'bin'}"
            output.write_bytes(content, str(path))
            if as_json:
                output.json_line({"file": str(path), "role": role, "size_bytes": len(content)})
            else:
                click.echo(f"{path}  {len(content)} bytes")
    return OK
