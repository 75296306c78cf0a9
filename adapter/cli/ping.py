"""ping: does the partner's ebXML message handler answer, and what became of a message that we sent it?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from adapter.cli import output
from adapter.cli.app import OK, REFUSED, WORLD_FAILED, Shared
from adapter.cli.opening import json_option, opened

if TYPE_CHECKING:
    from adapter.flow.ebxml_ask import PingOutcome

COLOURS = {"answered": "green", "refused": "red", "no answer": "yellow"}


@click.command()
@click.argument("partner", type=click.IntRange(min=1), metavar="PARTNER")
@click.option("--about", metavar="ID", help="Ask what became of this message of ours, instead of a mere sign of life.")
@click.option("--from", "sender", type=click.IntRange(min=1), metavar="HER-ID", help="Which of our addresses asks.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the answer; by mail it comes through our mailbox.",
)
@json_option
@click.pass_obj
def ping(shared: Shared, partner: int, about: str | None, sender: int | None, wait_s: float, as_json: bool) -> int:
    """Ask a partner's ebXML message handler for a sign of life (Ping and Pong), or about a message we sent it.

    PARTNER is its HER-id; its entry in the address book must name an ebXML road. Partners need not support either
    question: silence does not prove that they are away. The question and its answer are kept; no message changes state.

    Exit code 0 answered, 1 refused, or the partner does not know the message, 3 no answer.

    \b
    Examples:
      adapter ping 8094866
      adapter ping 8094866 --wait 300 --json
      adapter ping 8094866 --about 0f2c81aa
    """
    with opened(shared) as adapter:
        if about is None:
            found = adapter.ping(partner, sender=sender, wait_s=wait_s)
        else:
            found = adapter.ask_status(about, partner=partner, wait_s=wait_s)
    if as_json:
        output.json_line({**asdict(found), "about": about})
    else:
        _tell(found)
    if found.result == "no answer":
        return WORLD_FAILED
    return OK if found.well else REFUSED


def _tell(found: PingOutcome) -> None:
    words = [click.style(found.result, fg=COLOURS[found.result], bold=True), f"{found.partner} over {found.road}"]
    if found.seconds is not None:
        words.append(f"after {found.seconds:.1f} s")
    if found.status is not None:
        words.append(f"status {found.status}")
    if found.signed is False:
        words.append("unsigned")
    words += [*found.errors, *([found.code] if found.code else [])]
    click.echo("  ".join(words))
