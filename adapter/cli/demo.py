"""demo: messages out and in over both roads, against the simulator, with everything printed as timelines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapter.cli.app import OK, REFUSED, Shared
from adapter.cli.demo_roads import APPREC_AFTER_S, BY_EBXML, BY_EDI, refer_by_mail, tell_roads

if TYPE_CHECKING:
    from adapter.assembly import Adapter
    from adapter.simulator import Simulation, VirtualClock

# Ten files for our inbox: (folder/name, the receiver's HER-id, what the envelope says of the sender)
INBOX: tuple[tuple[str, int, int], ...] = (
    ("good/inbound-dialogue", 8091301, 8091101),
    ("good/inbound-question", 8091301, 8091102),
    ("good/inbound-note", 8091301, 8091401),
    ("good/inbound-referral", 8091301, 8091401),
    ("good/inbound-emergency", 8091301, 8091401),
    ("good/inbound-nav-question", 8091302, 79768),
    ("bad/same-id-other-content", 8091301, 8091101),
    ("bad/patient-missing", 8091301, 8091102),
    ("bad/unknown-type", 8091301, 8091401),
    ("bad/cut-off", 8091301, 8091101),
)
EXPECTED = {
    BY_EDI: "delivered",
    BY_EBXML: "delivered",
    "accepted by NAV": "delivered",
    "rejected, with the reason": "rejected",
    "overdue: nobody has answered": "attention",
}
HOUR_S = 3600.0


@click.command()
@click.option("--data", default="demo-data", show_default=True, metavar="DIR", help="Keys, settings and store go here.")
@click.pass_obj
def demo(shared: Shared, data: str) -> int:
    """Watch the adapter at work: one referral over both roads, a signed inquiry to NAV, ten messages in.

    The referral goes over EDI 2.0, and over ebXML by mail, where the first receipt is lost and a resend heals it.
    Everything runs on this machine: a simulated message server, HelseID, mail servers, and partners who answer, refuse
    or keep silent. All persons are made up; keys and certificates are made now. The clock is handed in, so days pass
    in a second. The store is kept for 'adapter list' and 'adapter show'.

    \b
    Example:
      adapter demo
    """
    from adapter.cli import demo_world as world
    from adapter.simulator import LIVELY_PARTS, VirtualClock, start

    shared.start_logs("error")
    folder = Path(data)
    world.fresh_folder(folder)
    clock = VirtualClock(world.START)
    times: dict[str, Any] = {
        "clock": clock,
        "token_clock": lambda: clock().timestamp(),
        "keys_at": world.START,
    }
    with (
        start(**times, parts=LIVELY_PARTS, ebxml=True) as simulation,
        world.open_demo(folder, simulation, clock) as adapter,
    ):
        missed = play(adapter, simulation, clock)
    settings = folder / "adapter.toml"
    click.echo(f"\nThe store is kept. Look around:\n  adapter --config {settings} list")
    click.echo(f"  adapter --config {settings} list --attention\n  adapter --config {settings} show ID")
    for what in missed:
        click.echo(f"demo: not as expected: {what}", err=True)
    return REFUSED if missed else OK


def play(adapter: Adapter, simulation: Simulation, clock: VirtualClock) -> list[str]:
    """The whole play; gives what did not come out as it should."""
    from adapter.simulator.world import MYRDAL_FRISKLIV

    title("1  Five messages go out; the first and the last are one referral, over two roads")
    sent = {**send_four(adapter, simulation), BY_EBXML: refer_by_mail(adapter, simulation)}
    click.echo(f"  {sent[BY_EBXML]}  HENVISNING_NYTILSTAND with 1 PDF, by mail")
    title("2  Ten messages come in")
    feed_inbox(simulation)
    rounds(adapter, clock, 3)
    show_inbox(adapter)
    title("3  The EHR takes what was accepted, and answers")
    take_all(adapter)
    rounds(adapter, clock, 3)
    title("4  Half a day passes; what was not acknowledged goes again")
    clock.advance(12 * HOUR_S)
    rounds(adapter, clock, 2)
    clock.advance(APPREC_AFTER_S - 12 * HOUR_S)
    rounds(adapter, clock, 2)
    simulation.script(MYRDAL_FRISKLIV, "ack now")  # no more receipts are lost
    take_all(adapter)
    rounds(adapter, clock, 3)
    title("5  The same referral over both roads")
    missed = tell_roads(adapter, simulation, sent)
    title("6  Four days pass")
    clock.advance(97 * HOUR_S)
    rounds(adapter, clock, 2)
    title("7  The conversations")
    missed += tell_conversations(adapter, sent, {her_id: unit.name for her_id, unit in simulation.world.units.items()})
    title("8  What needs a person")
    return missed + tell_attention(adapter)


def title(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)


def send_four(adapter: Adapter, simulation: Simulation) -> dict[str, str]:
    """Submit four messages to partners who will behave differently; gives id by what will become of it."""
    from adapter.cli.demo_world import read_input
    from adapter.model.message import ReceiverChoice, SignerClaim
    from adapter.simulator import world as place

    simulation.script(place.NAV, "judge", "reply")
    simulation.script(place.GRANLI_NURSING, "apprec rejected E21 Mottaker finnes ikke")
    simulation.script(place.BEKKELIA_GP, "silent")
    note = dataclasses.replace(read_input("dialogue-notat"), receiver=ReceiverChoice(her_id=place.BEKKELIA_GP))
    doctor = simulation.tenants["solvang"].spec.persons[0]
    signer = SignerClaim(key=f"solvang-{doctor.name}", fnr=doctor.fnr, profession=doctor.profession)
    inputs = {
        BY_EDI: read_input("referral-frisklivssentral-pdf"),
        "accepted by NAV": dataclasses.replace(read_input("nav-henvendelse"), signer=signer),
        "rejected, with the reason": read_input("dialogue-foresporsel"),
        "overdue: nobody has answered": note,
    }
    sent = {}
    for number, (what, message) in enumerate(inputs.items(), start=1):
        sent[what] = adapter.submit(message, key=f"demo-{number}")
        signed = " signed by the doctor" if message.signer else ""
        pdf = f" with {len(message.attachments)} PDF" if message.attachments else ""
        click.echo(f"  {sent[what]}  {message.msg_type}{pdf}{signed}")
    return sent


def feed_inbox(simulation: Simulation) -> None:
    from adapter.cli.demo_world import samples

    for name, receiver, sender in INBOX:
        simulation.inject((samples() / f"{name}.xml").read_bytes(), receiver, sender=sender)


def rounds(adapter: Adapter, clock: VirtualClock, number: int) -> None:
    for _ in range(number):
        clock.advance(31)
        adapter.run_once()
        clock.advance(30)


def show_inbox(adapter: Adapter) -> None:
    from adapter.cli.timeline import faults_of

    for row in reversed(adapter.list()):
        if row["direction"] != "in" or row["msg_type"] == "APPREC":
            continue
        colour = {"accepted": "green", "rejected": "red"}.get(row["step"], "yellow")
        codes = faults_of(row.get("errors"))
        reason = f" ({row['attention']})" if row.get("attention") else ""
        step = click.style(f"{row['step']:12}", fg=colour)
        click.echo(f"  {step} {row['msg_type'] or 'unreadable'} {codes}{reason}")


def take_all(adapter: Adapter) -> None:
    """A consumer takes everything, files most of it, and leaves one to staff."""
    taken = adapter.take("demo-ehr", tenant="solvang", limit=50)
    for number, message in enumerate(taken):
        decision: Any = "sorting" if number == len(taken) - 1 else "accept"
        step = adapter.confirm(message.token, decision)
        click.echo(f"  {message.msg_type}: {decision} → {step}")


def tell_conversations(adapter: Adapter, sent: Mapping[str, str], names: Mapping[int, str]) -> list[str]:
    """Every message once, what we sent first and with its answers; gives what did not come out as it should."""
    from adapter.cli.timeline import draw

    missed, told = [], set()
    for what, message_id in sent.items():
        click.secho(f"\n{what}", fg="cyan")
        shown = adapter.show(message_id)
        for one in (shown, *(adapter.show(other) for other in shown["conversation"])):
            draw(one, names)
            told.add(one["message"]["id"])
        states = {row["state"] for row in shown["deliveries"]}
        if states != {EXPECTED[what]}:
            missed.append(f"{what}: {', '.join(sorted(states))}")
    for row in reversed(adapter.list()):
        if row["direction"] == "in" and row["msg_type"] != "APPREC" and row["message_id"] not in told:
            click.secho(f"\nreceived, and {row['step']}", fg="cyan")
            draw(adapter.show(row["message_id"]), names)
    return missed


def tell_attention(adapter: Adapter) -> list[str]:
    rows = adapter.list(attention=True)
    for row in rows:
        click.echo(
            f"  {click.style(str(row['attention']), fg='yellow'):24} {row['msg_type'] or '–'}  {row['message_id']}"
        )
    reasons = {row["attention"] for row in rows}
    return [f"no {wanted} on the attention list" for wanted in ("conflict", "overdue") if wanted not in reasons]
