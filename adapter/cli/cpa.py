"""cpa: what is in an agreement file, what is wrong with it, and what is new in it?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import click

from adapter.cli import output
from adapter.cli.app import OK, REFUSED, Shared
from adapter.cli.check import FILES
from adapter.cli.opening import TimeParameter, json_option, read_file

T = TypeVar("T")
_AT = click.option("--at", type=TimeParameter(), metavar="TIME", help="Judge as of this time; default: now.")


@click.group("cpa")
def cpa() -> None:
    """Agreements with ebXML partners (CPA 2.0 files): show one, check it, see what is new in it.

    An agreement says which processes two parties have agreed on, under which names, where messages go, and which
    certificates count. Put the files of those in force into the folder that agreements.directory names.

    \b
    Examples:
      adapter cpa show nav-35065.xml
      adapter cpa check cpa/*.xml
      adapter cpa diff cpa/nav-35065.xml new/nav-35065.xml
      adapter --config adapter.toml cpa diff new/nav-35065.xml
    """


@cpa.command("show")
@click.argument("files", nargs=-1, required=True, type=FILES, metavar="FILE...")
@json_option
def show(files: tuple[str, ...], as_json: bool) -> int:
    """Show the facts of agreement files: parties, processes, addresses, resends, certificates with their days.

    Nothing is asked of the network. Exit code 0 when every file could be read, else 1.

    \b
    Examples:
      adapter cpa show nav-35065.xml
      adapter cpa show --json cpa/*.xml | jq '.parties[].certificates'
    """
    from adapter.ebxml.cpa import read_agreement
    from adapter.flow.agreement_check import describe

    all_well = True
    for file in files:
        found = _read(file, lambda data: describe(read_agreement(data)))
        all_well &= not isinstance(found, str)
        facts = {"readable": False, "error": found} if isinstance(found, str) else {"readable": True, **found}
        line = {"file": file, **facts}
        output.json_line(line) if as_json else _tell(line)
    return OK if all_well else REFUSED


@cpa.command("check")
@click.argument("files", nargs=-1, required=True, type=FILES, metavar="FILE...")
@_AT
@json_option
def check(files: tuple[str, ...], at: datetime | None, as_json: bool) -> int:
    """Say what is wrong with agreement files: period, channels, certificates, and what misleads strict readers.

    Errors keep messages from going; warnings and infos do not. Exit code 0 when no file has an error, else 1.

    \b
    Examples:
      adapter cpa check nav-35065.xml
      adapter cpa check --at 2028-01-01T00:00:00Z --json cpa/*.xml
    """
    from adapter.flow.agreement_check import check_file

    now = at or datetime.now(UTC)
    all_well = True
    for file in files:
        seen = _read(file, lambda data: [one.as_json() for one in check_file(data, now)])
        found = [_unreadable(seen)] if isinstance(seen, str) else seen
        sound = all(one["severity"] != "error" for one in found)
        all_well &= sound
        if as_json:
            output.json_line({"file": file, "sound": sound, "findings": found})
        else:
            verdict = click.style("sound", fg="green") if sound else click.style("faulty", fg="red")
            click.echo(f"{verdict}  {file}")
            output.findings(found)
    return OK if all_well else REFUSED


@cpa.command("diff")
@click.argument("file", type=FILES, metavar="FILE")
@click.argument("newer", type=FILES, required=False, metavar="[FILE2]")
@json_option
@click.pass_obj
def diff(shared: Shared, file: str, newer: str | None, as_json: bool) -> int:
    """Say what is new: FILE2 against FILE, or FILE alone against the settings, our keys and the address book.

    Shows keys that roll, endpoints, periods, resends and processes. Against the settings it tells whether the key that
    we sign with is the one that the partner was told, and whether we can open what the partner will seal.
    Exit code 0 when nothing differs, else 1.

    \b
    Examples:
      adapter cpa diff cpa/nav-35065.xml new/nav-35065.xml
      adapter --config adapter.toml cpa diff --json new/nav-35065.xml
    """
    from adapter.flow.agreement_check import diff_files, diff_settings

    if newer is not None:
        found = diff_files(read_file(file), read_file(newer))
    else:
        found = diff_settings(read_file(file), shared.settings(), datetime.now(UTC))
    rows = [one.as_json() for one in found]
    if as_json:
        for row in rows:
            output.json_line(row)
    elif rows:
        output.table(rows, {"what": "WHAT", "place": "PLACE", "before": "BEFORE", "after": "AFTER"})
    else:
        click.echo("nothing differs")
    return REFUSED if rows else OK


def _read(file: str, look: Callable[[bytes], T]) -> T | str:
    """What ``look`` makes of the file's octets, or the text of what kept it from being read."""
    from adapter.errors import AdapterError

    try:
        return look(read_file(file))
    except AdapterError as error:
        return str(error)


def _unreadable(text: str) -> dict[str, object]:
    code, _, words = text.partition(": ")
    return {"rule": code, "severity": "error", "path": None, "line": None, "text": words, "source": "", "apprec": None}


def _tell(line: Mapping[str, object]) -> None:
    if "error" in line:
        click.echo(f"{click.style('unreadable', fg='red')}  {line['file']}  {line['error']}")
        return
    period = "no period" if line["profile"] else f"{line['start'] or '?'} – {line['end'] or '?'}"
    click.echo(f"{click.style(str(line['id'] or '–'), bold=True)}  {line['file']}  {period}")
    parties = line["parties"]
    assert isinstance(parties, Sequence)
    for party in parties:
        ids = ", ".join(f"{one['type'] or '?'} {one['value']}" for one in party["ids"])
        click.echo(f"  {party['name'] or '–'}  ({ids})")
        for role in party["roles"]:
            sends, receives = ", ".join(role["sends"]) or "–", ", ".join(role["receives"]) or "–"
            click.echo(f"    {role['service']} as {role['role']}: sends {sends}; receives {receives}")
        for channel in party["channels"].values():
            places = ", ".join(one["uri"] for one in channel["endpoints"]) or "no endpoint"
            click.echo(
                f"    {channel['protocol'] or '?'} {places}  acknowledge {channel['acknowledge']}{_plan(channel)}"
            )
        for name, one in party["certificates"].items():
            uses = ", ".join(one.get("uses") or ()) or "no use named"
            until = f"until {one['not_after']}" if one["readable"] else "unreadable"
            click.echo(f"    certificate {name}: {uses}, {until}")


def _plan(channel: Mapping[str, object]) -> str:
    retries, interval = channel["retries"], channel["retry_interval_s"]
    if not isinstance(retries, int) or not isinstance(interval, int):
        return ""
    return f", {retries} resends {interval / 3600:g} h apart"
