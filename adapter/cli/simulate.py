"""simulate: the other side of the wire, on this machine."""

from __future__ import annotations

import click

from adapter.cli.app import OK


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same faults.")
@click.option(
    "--mode", type=click.Choice(["strict", "plain"]), default="strict", show_default=True, help="How it answers."
)
def simulate(port: int, seed: int, mode: str) -> int:
    """Run the message server (EDI 2.0), HelseID and the address register on loopback, with partners who answer.

    It prints the addresses and a settings file to use against it; Ctrl-C stops it.

    \b
    Examples:
      adapter simulate
      adapter simulate --seed 7 --mode plain
    """
    from adapter.simulator import serve_forever

    serve_forever(port=port, seed=seed, mode=mode, say=click.echo)
    return OK
