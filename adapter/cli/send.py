"""send: submit a message for sending; the worker does the rest."""

from __future__ import annotations

import click

from adapter.cli import output
from adapter.cli.app import OK, Shared
from adapter.cli.opening import json_option, opened, parse_json, read_file, tenant_option

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True)


@click.command()
@click.argument("file", type=_FILE, metavar="INPUT.json|MESSAGE.xml")
@click.option("--key", metavar="TEXT", help="Your own key: submitting the same key and input again gives the same id.")
@tenant_option
@json_option
@click.pass_obj
def send(shared: Shared, file: str, key: str | None, tenant: str | None, as_json: bool) -> int:
    """Submit a message. It is built, checked, signed and stored; 'adapter run' sends it.

    A JSON input is built (see 'adapter schema message'). An XML message that your EHR has built and signed is checked
    and sent byte for byte. A message with errors is refused and nothing is stored.

    \b
    Examples:
      adapter send referral.json --key journal-4711
      adapter send signed-message.xml
      adapter send - < referral.json
    """
    content = read_file(file)
    with opened(shared) as adapter:
        if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            message_id = adapter.send_document(content, key=key, tenant=tenant)
        else:
            from adapter.model.message import OutgoingMessage
            from adapter.shapes import read

            message_id = adapter.submit(read(OutgoingMessage, parse_json(content, file)), key=key, tenant=tenant)
    if as_json:
        output.json_line({"id": message_id})
    else:
        click.echo(message_id)
    return OK
