"""verify: is the signature sound, who made it, and do we accept that certificate?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli import output
from adapter.cli.app import OK, REFUSED
from adapter.cli.check import FILES
from adapter.cli.opening import TimeParameter, json_option, read_file

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILES, metavar="FILE...")
@click.option("--trust", type=click.Path(exists=True, dir_okay=False), metavar="ROOTS.pem", help="Root certificates.")
@click.option("--at", type=TimeParameter(), metavar="TIME", help="Judge as of this time; default: now.")
@click.option("--sha1", "allow_sha1", is_flag=True, help="Accept SHA-1, as with a partner that is configured so.")
@click.option("--second-opinion", is_flag=True, help="Ask signxml too, and say so when it disagrees.")
@json_option
def verify(
    files: tuple[str, ...],
    trust: str | None,
    at: datetime | None,
    allow_sha1: bool,
    second_opinion: bool,
    as_json: bool,
) -> int:
    """Verify the signature of messages. Revocation is not asked: nothing leaves the machine.

    "valid": sound, and the signer's certificate leads to one of the ROOTS. "untrusted": sound, but no accepted
    certificate (always so without --trust). "invalid": broken or against our policy, or the file cannot be read.
    "absent": there is none. Exit code 0 when all are valid, else 1.

    \b
    Examples:
      adapter verify signed.xml --trust roots.pem
      adapter verify --json --second-opinion inbox/*.xml
    """
    from adapter.security.certificates import load_roots

    roots = load_roots([Path(trust)]) if trust else ()
    all_well = True
    for file in files:
        content = read_file(file)
        record = _verified(file, content, roots, at or datetime.now(UTC), allow_sha1)
        if second_opinion and record["covered"] is not None:
            _ask_signxml(record, content, allow_sha1)
        output.json_line(record) if as_json else _tell(record)
        all_well &= record["signature"] == "valid"
    return OK if all_well else REFUSED


def _verified(
    file: str, content: bytes, roots: Sequence[Certificate], at: datetime, allow_sha1: bool
) -> dict[str, object]:
    import adapter.xmlio as xmlio
    from adapter.documents import read_facts, unwrap
    from adapter.errors import UnreadableError, UnsupportedError
    from adapter.flow.check import read_time
    from adapter.security.report import verify_report
    from adapter.validation.report import unreadable

    try:
        root = unwrap(xmlio.parse(content))
    except (UnreadableError, UnsupportedError) as error:
        found = [unreadable(error, "en").as_json()]
        return {"file": file, "signature": "invalid", "signer": None, "covered": None, "findings": found}
    gen_date = read_time(read_facts(root).gen_date)
    return verify_report(file, root, roots=roots, at=at, gen_date=gen_date, allow_sha1=allow_sha1)


def _ask_signxml(record: dict[str, object], content: bytes, allow_sha1: bool) -> None:
    """Add a finding that tells whether signxml agrees."""
    import adapter.xmlio as xmlio
    from adapter.documents import unwrap
    from adapter.errors import Finding, Severity
    from adapter.security.oracle import second_opinion
    from adapter.security.xmldsig import verify as verify_signature

    root = unwrap(xmlio.parse(content))
    document = xmlio.serialise(xmlio.reroot(root))
    certificate = verify_signature(root, allow_sha1=allow_sha1).certificate
    objection = second_opinion(document, certificate, allow_sha1=allow_sha1)
    text = f"signxml does not agree: {objection}" if objection else "signxml agrees that the signature is sound"
    severity = Severity.WARNING if objection else Severity.INFO
    found = record["findings"]
    if isinstance(found, list):
        found.append(Finding(rule="SIGNXML", severity=severity, text=text, source="signxml").as_json())


def _tell(record: Mapping[str, object]) -> None:
    status = str(record["signature"])
    colour = {"valid": "green", "invalid": "red"}.get(status, "yellow")
    signer = record["signer"]
    who = ""
    if isinstance(signer, Mapping):
        who = f"  {signer['subject']}, until {str(signer['not_after'])[:10]}"
    click.echo(f"{click.style(status, fg=colour, bold=True)}  {record['file']}{who}")
    found = record["findings"]
    if isinstance(found, list):
        output.findings(found)
