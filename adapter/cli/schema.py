"""schema: the JSON Schema of what people and programs hand in."""

from __future__ import annotations

import json

import click

from adapter.cli.app import OK

NAMES = {
    "message": "a message to send (build, send)",
    "settings": "the settings file (as JSON; TOML has the same keys)",
}


@click.command()
@click.argument("name", type=click.Choice(list(NAMES)), required=False)
def schema(name: str | None) -> int:
    """Print the JSON Schema (2020-12) of an input; without NAME, list the names.

    \b
    Examples:
      adapter schema message > message.schema.json
      adapter schema settings
    """
    if name is None:
        for known, what in NAMES.items():
            click.echo(f"{known:10}{what}")
        return OK
    from adapter.shapes import json_schema

    click.echo(json.dumps(json_schema(_shape(name), name), indent=2, ensure_ascii=False))
    return OK


def _shape(name: str) -> type:
    if name == "settings":
        from adapter.config import Settings

        return Settings
    from adapter.model.message import OutgoingMessage

    return OutgoingMessage
