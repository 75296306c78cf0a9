"""doctor: is everything in place?"""

from __future__ import annotations

import click

from adapter.cli import output
from adapter.cli.app import OK, REFUSED, Shared
from adapter.cli.opening import json_option

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command()
@json_option
@click.pass_obj
def doctor(shared: Shared, as_json: bool) -> int:
    """Check settings, keys and their last days, trust roots, HelseID and the clock, the register's word on our HER-ids,
    the message server, mail servers and mailboxes, the store, the disk, and what waits for a person.

    Exit code 1 when something is wrong. Nothing is sent and no message is fetched.

    \b
    Example:
      adapter doctor
    """
    settings = shared.settings()
    from adapter.cli.doctor_checks import examine

    shared.start_logs("error")
    wrong = False
    for found in examine(settings):
        wrong |= found["status"] == "error"
        if as_json:
            output.json_line(found)
            continue
        status = str(found["status"])
        cure = f"  Cure: {found['cure']}" if found["cure"] else ""
        click.echo(f"{click.style(f'{status:8}', fg=COLOURS[status])}{found['check']}: {found['text']}{cure}")
    return REFUSED if wrong else OK
