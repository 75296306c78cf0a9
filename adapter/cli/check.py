"""check: is this message valid? Offline, as the receiver or as the sender would judge it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from adapter.cli import output
from adapter.cli.app import OK, REFUSED, Shared
from adapter.cli.opening import HerIds, TimeParameter, json_option, read_file

FILES = click.Path(exists=True, dir_okay=False, allow_dash=True)
COMPARED = ("readable", "kind", "version", "msg_type", "msg_id", "schema_valid", "signature", "verdict", "apprec")


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILES, metavar="FILE...")
@click.option(
    "--direction", type=click.Choice(["in", "out"]), default="in", show_default=True, help="Received or to send."
)
@click.option("--as", "ours", multiple=True, type=HerIds(), metavar="HER-ID[,…]", help="Who we are: our own HER-ids.")
@click.option("--at", type=TimeParameter(), metavar="TIME", help="Judge as of this time; default: now.")
@click.option(
    "--lang", type=click.Choice(["nb", "en"]), default="nb", show_default=True, help="Language of the findings."
)
@click.option("-v", "--verbose", is_flag=True, help="Show also what was not evaluated, and why.")
@click.option("--expect", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Compare with this JSON.")
@json_option
@click.pass_obj
def check(
    shared: Shared,
    files: tuple[str, ...],
    direction: Literal["in", "out"],
    ours: tuple[tuple[int, ...], ...],
    at: datetime | None,
    lang: str,
    verbose: bool,
    expect: str | None,
    as_json: bool,
) -> int:
    """Validate messages: schema, national rules, NAV's rules, signature. Nothing leaves the machine.

    Direction "in" judges with the tolerance of a receiver and says which receipt (AppRec) it would give; "out" judges
    strictly, as before sending. Exit code 0 when all are accepted, 1 when one is not. With --expect the code tells
    instead whether each file came out as written there.

    \b
    Examples:
      adapter check referral.xml
      adapter check --direction out --as 8094866 referral.xml
      adapter check --json inbox/*.xml | jq 'select(.verdict != "accept") | .file'
      adapter check --json *.xml > seen.jsonl; adapter check --expect seen.jsonl *.xml
    """
    del shared  # offline: no settings are read
    from adapter.flow.check import CheckContext, check_document
    from adapter.validation.report import report_line
    from adapter.validation.subject import RuleContext

    ids = frozenset(her_id for group in ours for her_id in group)
    context = CheckContext(rules=RuleContext(direction=direction, ours=ids, lang=lang, offline=True))
    wanted = _expectations(expect) if expect else None
    all_well = True
    with output.progress(files, "checking", quiet=as_json or len(files) < 20) as queue:
        for file in queue:
            checked = check_document(read_file(file), context, at=at or datetime.now(UTC))
            record = report_line(
                file,
                checked.facts,
                checked.schema_findings,
                checked.findings,
                checked.judgement,
                checked.signature_status,
                direction=direction,
                readable=checked.readable,
            )
            if as_json:
                output.json_line(record)
            else:
                _tell(record, verbose)
            all_well &= _as_expected(record, wanted) if wanted is not None else record["verdict"] == "accept"
    return OK if all_well else REFUSED


def _tell(record: Mapping[str, object], verbose: bool) -> None:
    verdict = str(record["verdict"])
    colour = {"accept": "green", "reject": "red"}.get(verdict, "yellow")
    what = " ".join(str(record[name]) for name in ("kind", "version", "msg_type") if record[name])
    schema = {True: "schema valid", False: "schema INVALID", None: "no schema"}[record["schema_valid"]]  # type: ignore[index]
    receipt = record["apprec"]
    answer = ""
    if isinstance(receipt, Mapping):
        codes = ", ".join(str(error["code"]) for error in receipt["errors"])
        answer = f" → AppRec {receipt['version']} status {receipt['status']}{f' ({codes})' if codes else ''}"
    facts = f"{what}, {schema}, signature {record['signature']}" if record["kind"] else "unreadable"
    click.echo(f"{click.style(verdict, fg=colour, bold=True)}  {record['file']}  {facts}{answer}")
    found = record["findings"]
    if isinstance(found, Sequence):
        output.findings([finding for finding in found if verbose or finding["severity"] != "info"])


def _expectations(path: str) -> dict[str, dict[str, object]]:
    """Expected records by file: one JSON object of objects, or JSON Lines as ``check --json`` prints them."""
    from adapter.errors import InputError

    text = Path(path).read_text("utf-8")
    try:
        try:
            plain = json.loads(text)
            found = {plain["file"]: plain} if isinstance(plain.get("file"), str) else plain
        except json.JSONDecodeError:
            found = {row["file"]: row for row in (json.loads(line) for line in text.splitlines() if line.strip())}
        return {str(name): dict(row) for name, row in found.items()}
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        cure = "give an object of objects by file name, or what 'check --json' printed"
        raise InputError("the expectations cannot be read", where=path, cure=cure) from None


def _as_expected(record: Mapping[str, object], wanted: Mapping[str, Mapping[str, object]]) -> bool:
    file = Path(str(record["file"])).as_posix()
    hits = [name for name in wanted if file == name or file.endswith("/" + name)]
    if not hits:
        output.note(f"{file}: no expectation")
        return False
    from adapter.validation.report import differences

    expected = wanted[max(hits, key=len)]
    wrong = differences(record, {name: value for name, value in expected.items() if name in COMPARED})
    for name in wrong:
        output.note(f"{file}: {name} is {json.dumps(record[name])}, expected {json.dumps(expected[name])}")
    return not wrong
