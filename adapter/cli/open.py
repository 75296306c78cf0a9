"""open: what is in an ebXML message, is its signature sound, and what would we answer?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli import output
from adapter.cli.app import OK, REFUSED
from adapter.cli.check import FILES
from adapter.cli.opening import json_option, read_file

if TYPE_CHECKING:
    from adapter.security.keys import SigningKey

COLOURS = {"valid": "green", "invalid": "red"}


@click.command("open")
@click.argument("files", nargs=-1, required=True, type=FILES, metavar="FILE...")
@click.option("--keys", type=click.Path(exists=True, dir_okay=False), metavar="P12", help="Decrypt with this key.")
@click.option("--passphrase-env", metavar="VAR", help="The environment variable that holds the key's passphrase.")
@json_option
def open_(files: tuple[str, ...], keys: str | None, passphrase_env: str | None, as_json: bool) -> int:
    """Open ebXML messages: a mail, an HTTP capture or a bare envelope. Integrity only: trust needs a partner.

    Shows who sends what to whom, what the signature covers, the attachments, every failed rule of HITS 1172 by its
    number, and the answer that a message handler would give. SHA-1 is accepted here, with a warning. Exit code 0 when
    every file would be acknowledged or needs no answer, else 1.

    \b
    Examples:
      adapter open message.eml
      adapter open --json --keys clinic.p12 --passphrase-env CLINIC_PASS captured/*.msg
    """
    from adapter.flow.envelope import open_envelope

    held = None if keys is None else [_key(keys, passphrase_env)]
    all_well = True
    for file in files:
        line = open_envelope(read_file(file), keys=held).as_json(file)
        output.json_line(line) if as_json else _tell(line)
        answer = line["answer"]
        all_well &= isinstance(answer, Mapping) and answer["error_code"] is None and line["kind"] is not None
    return OK if all_well else REFUSED


def _key(path: str, passphrase_env: str | None) -> SigningKey:
    from adapter.cli.sign import read_passphrase
    from adapter.security.keys import load_pkcs12

    return load_pkcs12(Path(path), read_passphrase(passphrase_env), "company")


def _tell(line: Mapping[str, object]) -> None:
    signature, answer, attachments = line["signature"], line["answer"], line["attachments"]
    assert isinstance(signature, Mapping)
    assert isinstance(answer, Mapping)
    assert isinstance(attachments, list)
    status = str(signature["status"])
    told = answer["error_code"] or answer["kind"]
    click.echo(f"{line['kind'] or 'no ebXML'}  {line['file']}")
    if line["kind"] is not None:
        click.echo(f"  {line['from'] or '–'} → {line['to'] or '–'}  {line['service'] or '–'} / {line['action'] or '–'}")
        coloured = click.style(status, fg=COLOURS.get(status, "yellow"), bold=True)
        click.echo(
            f"  signature {coloured}, covers {len(signature['covered'])}, leaves out {len(signature['uncovered'])}"
        )
    for number, part in enumerate(attachments, 1):
        state = "encrypted" if part["encrypted"] else "in the clear"
        click.echo(f"  attachment {number}: {part['content_type'] or '–'}, {part['size_bytes']} bytes, {state}")
    click.echo(f"  answer: {told}")
    found = line["findings"]
    if isinstance(found, list):
        output.findings(found)
