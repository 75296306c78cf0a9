"""The command table, the shared options, and what an error becomes: a line on stderr and an exit code.

Exit codes: 0 all is well, 1 something was refused or needs attention, 2 wrong use or settings, 3 the world failed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from adapter.config import Settings
    from adapter.errors import AdapterError

OK, REFUSED, WRONG_USE, WORLD_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

# command -> (module in adapter.cli, function, one line for the overview, section)
OFFLINE, SENDING, LOOKING, RECEIVING, TRYING = "Offline", "Send and run", "Look and act", "Receive", "Try it out"
COMMANDS: dict[str, tuple[str, str, str, str]] = {
    "check": ("check", "check", "Validate messages offline: schema, rules, signature.", OFFLINE),
    "verify": ("verify", "verify", "Verify a message's signature and say who signed.", OFFLINE),
    "schema": ("schema", "schema", "Print the JSON Schema of an input.", OFFLINE),
    "build": ("build", "build", "Build the XML message from a JSON input.", OFFLINE),
    "open": ("open", "open_", "Open ebXML messages: parts, signature, failed rules, answer.", OFFLINE),
    "cpa": ("cpa", "cpa", "Show, check and compare agreements with ebXML partners.", OFFLINE),
    "sign": ("sign", "sign", "Sign a message with a key from a PKCS#12 file.", OFFLINE),
    "send": ("send", "send", "Submit a message for sending.", SENDING),
    "run": ("run", "run", "Send, poll, answer and follow up until stopped.", SENDING),
    "ping": ("ping", "ping", "Ask whether a partner's ebXML message handler answers.", SENDING),
    "doctor": ("doctor", "doctor", "Check settings, keys, connections and the store.", SENDING),
    "list": ("look", "list_", "List messages, or those that need attention.", LOOKING),
    "show": ("look", "show", "Show one message and its timeline.", LOOKING),
    "export": ("look", "export", "Write the bytes of a message to a folder.", LOOKING),
    "requeue": ("act", "requeue", "Send a stopped message again.", LOOKING),
    "cancel": ("act", "cancel", "Withdraw a message that has not been sent.", LOOKING),
    "settle": ("act", "settle", "Take a message off the attention list.", LOOKING),
    "inbox": ("inbox", "inbox", "List received messages that nobody has taken.", RECEIVING),
    "take": ("inbox", "take", "Take received messages, for a limited time.", RECEIVING),
    "confirm": ("inbox", "confirm", "Confirm or reject a message that was taken.", RECEIVING),
    "replay": ("replay", "replay", "Feed a folder of messages through the receiving journey.", TRYING),
    "simulate": ("simulate", "simulate", "Run the other side: message server, HelseID, register.", TRYING),
    "demo": ("demo", "demo", "Watch messages go out and come in, against the simulator.", TRYING),
}

EPILOG = """\b
Exit codes: 0 all is well, 1 something was refused or needs attention,
2 wrong use or settings, 3 the world outside failed.

\b
Examples:
  adapter demo                        watch it work, no settings needed
  adapter check message.xml           is this message valid?
  adapter --config adapter.toml run   start the service"""


@dataclass(slots=True)
class Shared:
    """Options that stand before the command."""

    config: str | None
    log: str | None
    level: str

    def settings(self) -> Settings:
        """The settings; raises SettingsError (exit code 2) when there are none."""
        from adapter.config import load_settings
        from adapter.errors import SettingsError

        if self.config is None:
            cure = "give --config FILE or set ADAPTER_CONFIG; config/adapter.toml is a commented example"
            raise SettingsError("this command needs a settings file", cure=cure)
        return load_settings(self.config)

    def start_logs(self, level: str | None = None) -> None:
        """Logs go to stderr; only commands that do work of their own start them."""
        import adapter.logs as logs

        form = self.log or ("text" if sys.stderr.isatty() else "json")
        logs.configure(form=form, level=(level or self.level).upper())


class LazyGroup(click.Group):
    """Imports a command's module when the command is used; the overview comes from ``COMMANDS``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name, _, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"adapter.cli.{module}"), name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else " 'adapter --help' lists the commands."
            ctx.fail(f"There is no command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in (OFFLINE, SENDING, LOOKING, RECEIVING, TRYING):
            with formatter.section(section):
                formatter.write_dl([(name, line) for name, (_, _, line, where) in COMMANDS.items() if where == section])


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        import adapter

        click.echo(f"adapter {adapter.__version__}")
        ctx.exit(0)


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "auto_envvar_prefix": None},
)
@click.option("--config", metavar="FILE", envvar="ADAPTER_CONFIG", help="Settings file; default: $ADAPTER_CONFIG.")
@click.option(
    "--log", type=click.Choice(["json", "text"]), help="Form of the logs on stderr; default: text on a terminal."
)
@click.option("--level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", help="Log level.")
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
)
@click.pass_context
def app(ctx: click.Context, config: str | None, log: str | None, level: str) -> None:
    """Send, receive and follow up Norwegian health messages: referrals, dialogue messages and receipts."""
    ctx.obj = Shared(config, log, level)


def run(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises for an expected fault."""
    try:
        result = app.main(args=list(args) if args is not None else None, prog_name="adapter", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return INTERRUPTED
    except click.ClickException as wrong:
        wrong.show()
        return WRONG_USE
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone (adapter list | head); there is nobody to tell
        return OK
    except OSError as error:
        click.echo(f"adapter: {error.strerror or type(error).__name__}: {error.filename or ''}".rstrip(": "), err=True)
        return WORLD_FAILED
    except _our_errors() as error:
        return tell(error)
    return result if isinstance(result, int) else OK


def _our_errors() -> type[AdapterError]:
    # Python evaluates an except clause only when something was raised, so a good start pays nothing for the class.
    from adapter.errors import AdapterError

    return AdapterError


def tell(error: AdapterError) -> int:
    """Write an error and its findings to stderr; returns the exit code that its fault stands for."""
    from adapter.errors import Fault, RefusedError

    click.echo(f"adapter: {error}", err=True)
    if isinstance(error, RefusedError):
        for finding in error.findings:
            place = f" {finding.path}" if finding.path else ""
            click.echo(f"  {finding.severity.value} {finding.rule}{place}: {finding.text}", err=True)
        return REFUSED
    return {
        Fault.CALLER: WRONG_USE,
        Fault.SETTINGS: WRONG_USE,
        Fault.PARTNER: REFUSED,
        Fault.WORLD: WORLD_FAILED,
        Fault.OURS: WORLD_FAILED,
    }[error.fault]
