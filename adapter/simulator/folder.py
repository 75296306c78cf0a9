"""A folder that an adapter can use at once against a running simulation: settings, address book, keys and roots.

Everything in it was made for this run. Keys and the settings file (it maps signers to persons) are readable by their
owner alone.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from adapter.security.demo_ca import write_pkcs12, write_roots
from adapter.simulator.addressing import edi_address
from adapter.simulator.mailroom import OUR_PATH
from adapter.simulator.simulation import Simulation
from adapter.simulator.tenants import Tenant

AGREEMENTS = "agreements"


def write_folder(simulation: Simulation, directory: Path) -> Path:
    """Write the folder and return the path of its ``adapter.toml``; files of an earlier run are replaced.

    Raises OSError when the folder cannot be written.
    """
    keys = directory / "keys"
    keys.mkdir(parents=True, exist_ok=True)
    keys.chmod(0o700)
    for tenant in simulation.tenants.values():
        _write(keys / f"helseid-{tenant.name}.jwk", json.dumps(dict(tenant.private_jwk)))
        write_pkcs12(simulation.keys.companies[tenant.name], keys / f"{tenant.name}.p12")
        if simulation.has_ebxml:
            sealing = simulation.ebxml.tenant_keys(tenant.spec).sealing
            write_pkcs12(sealing, keys / f"{tenant.name}-opening.p12")
        for person in tenant.spec.persons:
            key = simulation.keys.persons[(tenant.name, person.name)]
            write_pkcs12(key, keys / f"{tenant.name}-{person.name}.p12")
    if simulation.has_ebxml:
        _write(keys / "mail-password", simulation.ebxml.mailroom.password)
        (directory / AGREEMENTS).mkdir(exist_ok=True)
        for name, agreement in simulation.ebxml.agreements().items():
            (directory / AGREEMENTS / name).write_bytes(agreement)
    write_roots((simulation.keys.root.certificate,), directory / "roots.pem")
    book = json.dumps(simulation.address_book(), ensure_ascii=False, indent=1)
    (directory / "addressbook.json").write_text(book + "\n", "utf-8")
    settings = directory / "adapter.toml"
    _write(settings, settings_text(simulation))
    return settings


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)


def settings_text(simulation: Simulation) -> str:
    """``adapter.toml`` for all tenants of the simulation. Persons' keys are named TENANT-PERSON."""
    parts = [
        'environment = "test"',
        "[software]\n"
        'fagsystem = "Simulated EHR"\nfagsystem_version = "1.0"\n'
        'mellomvare = "adapter"\nmellomvare_version = "0.1"\nmsh = "EDI 2.0"\nmsh_version = "2"',
        f'[edi20]\nbase_url = {_text(simulation.edi_url)}\nsource_system = "Simulated EHR, v1.0"',
        f'[register]\nfile = "addressbook.json"\nbase_url = {_text(simulation.register_url)}',
        '[store]\nurl = "sqlite:///adapter.db"\nlow_water_bytes = 50000000',
        "[worker]\npoll_every_s = 2.0\ndispatch_every_s = 1.0\nstatus_every_s = 2.0\nunknown_wait_s = 4.0",
    ]
    for tenant in simulation.tenants.values():
        parts.append(_tenant(simulation, tenant))
        if simulation.has_ebxml:
            parts.append(_mail(simulation, tenant))
        parts.append(_keys(tenant, simulation.has_ebxml))
    if simulation.has_ebxml:
        parts += _ebxml(simulation)
    parts.append('[trust]\nroots = ["roots.pem"]\nrevocation = "off"\nenvironment = "test"')
    parts.append("[trust.persons]\n" + "\n".join(_persons(simulation)))
    return "\n\n".join(parts) + "\n"


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(value, ensure_ascii=False)


def _tenant(simulation: Simulation, tenant: Tenant) -> str:
    spec = tenant.spec
    child = f"child_number = {_text(spec.child_number)}\n" if spec.child_number else ""
    opening = f"decrypt_with = [{_text(f'{spec.name}-opening')}]\n" if simulation.has_ebxml else ""
    return (
        f"[[tenant]]\nname = {_text(spec.name)}\norganisation_number = {_text(spec.organisation_number)}\n{child}"
        f"her_ids = {list(spec.her_ids)}\nsign_with = {_text(spec.name)}\n{opening}"
        f"[tenant.helseid]\nissuer = {_text(simulation.helseid_issuer)}\nclient_id = {_text(spec.client_id)}\n"
        f"key = {_text(f'keys/helseid-{spec.name}.jwk')}\nform = {_text(spec.form)}"
    )


def _ebxml(simulation: Simulation) -> list[str]:
    """Agreements, and the endpoint that partners on HTTP post to."""
    return [
        f'[agreements]\ndirectory = "{AGREEMENTS}"',
        f'[receive]\nhost = "127.0.0.1"\nport = {simulation.ebxml.our_port}\npath = "{OUR_PATH}"',
    ]


def _mail(simulation: Simulation, tenant: Tenant) -> str:
    """The tenant's own mailbox, named as the tenant is."""
    side = simulation.ebxml
    server = 'host = "127.0.0.1"\nsecurity = "none"\nport = '
    return (
        f'[tenant.mail]\naddress = "{edi_address(tenant.her_ids[0])}"\n'
        f"[tenant.mail.smtp]\n{server}{side.smtp.port}\n"
        f"[tenant.mail.pop3]\n{server}{side.pop3.port}\nuser = {_text(tenant.name)}\n"
        'password = { file = "keys/mail-password" }'
    )


def _keys(tenant: Tenant, ebxml: bool) -> str:
    names = [(tenant.name, "company"), *([(f"{tenant.name}-opening", "company")] if ebxml else [])]
    names += [(f"{tenant.name}-{person.name}", "person") for person in tenant.spec.persons]
    return "\n".join(
        f'[keys.{name}]\npkcs12 = "keys/{name}.p12"\nowner = "{owner}"\nenvironment = "test"' for name, owner in names
    )


def _persons(simulation: Simulation) -> list[str]:
    return [
        f"{_text(f'{issuer}|{serial:x}')} = {_text(person.fnr)}"
        for (issuer, serial), person in simulation.keys.signers.items()
    ]
