"""Receiving by hand or by a program: inbox, take, confirm (P7)."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Literal

import click

from adapter.cli import output
from adapter.cli.app import OK, Shared
from adapter.cli.opening import json_option, opened, tenant_option
from adapter.cli.timeline import local_time

Decision = Literal["accept", "reject", "sorting"]

COLUMNS = {
    "message_id": "id",
    "msg_type": "type",
    "sender": "from",
    "party": "to",
    "state": "state",
    "queued_at": "since",
}

_DECISIONS: dict[str | None, Decision] = {None: "reject", "accept": "accept", "sorting": "sorting"}
SHOWN = ("token", "message_id", "delivery_id", "msg_id", "msg_type", "flags", "content")


@click.command()
@tenant_option
@json_option
@click.pass_obj
def inbox(shared: Shared, tenant: str | None, as_json: bool) -> int:
    """List accepted messages that wait for a consumer.

    \b
    Example:
      adapter inbox --json
    """
    with opened(shared) as adapter:
        rows = adapter.inbox(tenant)
    if as_json:
        for row in rows:
            output.json_line(row)
    else:
        output.table([{**row, "queued_at": local_time(row["queued_at"])} for row in rows], COLUMNS)
        if not rows:
            output.note("the inbox is empty")
    return OK


@click.command()
@click.option("--consumer", default="cli", show_default=True, metavar="NAME", help="Who takes them.")
@click.option("--lease", "lease_s", type=click.FloatRange(1), metavar="SECONDS", help="Default: inbound.lease_s.")
@click.option("--limit", type=click.IntRange(1, 1000), default=25, show_default=True, help="At most so many.")
@click.option(
    "--save", type=click.Path(file_okay=False), metavar="DIR", help="Save each document and its attachments here."
)
@click.option("--document", is_flag=True, help="Add the XML document itself, in base64.")
@tenant_option
@click.pass_obj
def take(
    shared: Shared,
    consumer: str,
    lease_s: float | None,
    limit: int,
    save: str | None,
    document: bool,
    tenant: str | None,
) -> int:
    """Take messages and print them, content and all, as JSON Lines. Confirm each with its token before the lease ends.

    What is not confirmed in time is given out again.

    \b
    Example:
      adapter take --consumer ehr --lease 600 --save inbox/ > taken.jsonl
    """
    with opened(shared) as adapter:
        for taken in adapter.take(consumer, lease_s=lease_s, limit=limit, tenant=tenant):
            record = {name: getattr(taken, name) for name in SHOWN}
            if document:
                record["document"] = b64encode(taken.document).decode()
            if save is not None:
                record["files"] = save_files(taken.document, Path(save) / taken.delivery_id)
            output.json_line(record)
    return OK


def save_files(document: bytes, folder: Path) -> list[str]:
    """The document and its attachments as files that we alone can read; gives their paths, the document first."""
    import mimetypes

    from adapter.documents import attachment_bytes, read_facts
    from adapter.flow.trust import covered_root

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    contents = {"document.xml": document}
    for number, attachment in enumerate(read_facts(covered_root(document)).attachments):
        suffix = mimetypes.guess_extension(attachment.mime_type or "") or ".bin"
        contents[f"attachment-{number}{suffix}"] = attachment_bytes(attachment)
    for name, content in contents.items():
        output.write_bytes(content, str(folder / name))
    return [str(folder / name) for name in contents]


@click.command()
@click.argument("token")
@click.option("--accept", "decision", flag_value="accept", help="It is filed where it belongs.")
@click.option("--sorting", "decision", flag_value="sorting", help="Staff can see it and will sort it (answered OK).")
@click.option(
    "--reject", "codes", multiple=True, metavar="CODE", help="Refuse it with this code of list 8221, e.g. E36."
)
@json_option
@click.pass_obj
def confirm(shared: Shared, token: str, decision: str | None, codes: tuple[str, ...], as_json: bool) -> int:
    """Say what became of a message that was taken. The sender gets its receipt now.

    \b
    Examples:
      adapter confirm TOKEN --accept
      adapter confirm TOKEN --sorting
      adapter confirm TOKEN --reject E36
    """
    if (decision is None) == (not codes):
        raise click.UsageError("Give exactly one of --accept, --sorting or --reject CODE.")
    chosen = _DECISIONS[decision]
    with opened(shared) as adapter:
        step = adapter.confirm(token, chosen, codes)
    if as_json:
        output.json_line({"token": token, "decision": chosen, "codes": list(codes), "step": step})
    else:
        click.echo(step)
    return OK
