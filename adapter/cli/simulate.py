"""simulate: the other side of the wire, on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click

from adapter.cli import output
from adapter.cli.app import OK
from adapter.cli.opening import read_json


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@click.option(
    "--folder", type=click.Path(file_okay=False), metavar="DIR", help="Write settings and keys to use it here."
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same faults.")
@click.option(
    "--mode",
    type=click.Choice(["strict", "any", "plain"]),
    default="strict",
    show_default=True,
    help="Tokens: full DPoP; any Authorization header; none.",
)
@click.option("--deviation", "deviations", multiple=True, metavar="NAME", help="Answer as some real servers do.")
@click.option(
    "--faults", type=click.Path(exists=True, dir_okay=False), metavar="PLAN.json", help="Which calls go wrong."
)
@click.option("--names", is_flag=True, help="List behaviours, faults and deviations by name, then stop.")
def simulate(
    port: int, folder: str | None, seed: int, mode: str, deviations: tuple[str, ...], faults: str | None, names: bool
) -> int:
    """Run the other side on loopback: message server (EDI 2.0), HelseID, address register, and partners who answer.

    A frisklivssentral and a NAV are on ebXML, each by mail (an SMTP and a POP3 server) and over HTTP.
    One line of JSON tells the addresses; Ctrl-C stops it. With --folder a settings folder is written that an adapter
    can use at once. Partners' behaviour can be changed while it runs, by POST to the admin_url it prints.

    \b
    Examples:
      adapter simulate --folder sim        (then: adapter --config sim/adapter.toml run)
      adapter simulate --seed 7 --faults plan.json
      adapter simulate --names
    A plan: {"POST /Messages": [["503", 0.1], ["cut_after_commit", 3]]}
    """
    if names:
        return _list_names()
    from adapter.simulator import serve_forever

    plan = read_json(faults) if faults else None
    serve_forever(port=port, seed=seed, mode=mode, directory=folder, deviations=deviations, faults=plan, say=_say)
    return OK


def _say(line: object) -> None:
    """The line of addresses, flushed, so that a script that waits for it sees it at once."""
    if isinstance(line, str):
        output.json_line(json.loads(line))


def _list_names() -> int:
    from adapter.simulator import BEHAVIOURS, DEVIATIONS, EBXML_BEHAVIOURS, FAULTS

    tables: dict[str, Mapping[str, str]] = {
        "behaviours": BEHAVIOURS,
        "behaviours on ebXML, besides": EBXML_BEHAVIOURS,
        "faults": FAULTS,
        "deviations": DEVIATIONS,
    }
    for title, table in tables.items():
        click.secho(title, bold=True)
        for name, what in table.items():
            click.echo(f"  {name:24}{what}")
    return OK
