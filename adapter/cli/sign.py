"""sign: sign a finished message with a key from a file or on a card."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli import output
from adapter.cli.app import OK
from adapter.cli.opening import read_file

if TYPE_CHECKING:
    from adapter.security.pkcs11 import CardKey

P12 = click.Path(exists=True, dir_okay=False)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--keys", type=P12, metavar="P12", help="A PKCS#12 file.")
@click.option("--passphrase-env", metavar="VAR", help="The environment variable that holds its passphrase.")
@click.option("--pkcs11", metavar="MODULE", help="A key on a card or in an HSM: the driver's shared library.")
@click.option("--token", metavar="NAME", help="The token's label or serial number.")
@click.option("--key-label", metavar="LABEL", help="The key's label, where the token holds several.")
@click.option("--key-id", metavar="HEX", help="The key's identifier, where the token holds several.")
@click.option("--pin-env", metavar="VAR", help="The environment variable that holds the PIN.")
@click.option("--certificate", type=P12, metavar="PEM", help="The key's certificate, where the token holds none.")
@click.option("-o", "--out", metavar="FILE", help="Where to; default: stdout.")
def sign(file: str, keys: str | None, passphrase_env: str | None, out: str | None, **card: str | None) -> int:
    """Sign a message: an enveloped XML signature over the whole MsgHead (RSA-SHA256).

    The key is in a file, readable by you alone (chmod 600), or on a card, which signs by itself; a PIN that the card
    refuses is tried once. A message that is signed already is refused.

    \b
    Examples:
      P12_PASS=… adapter sign message.xml --keys company.p12 --passphrase-env P12_PASS -o signed.xml
      CARD_PIN=… adapter sign message.xml --pkcs11 opensc-pkcs11.so --token doctor --pin-env CARD_PIN -o signed.xml
    """
    from adapter.security.keys import load_pkcs12
    from adapter.security.xmldsig import sign_document

    if (keys is None) == (card["pkcs11"] is None):
        raise click.UsageError("Give --keys or --pkcs11.")
    if keys is None:
        output.write_bytes(sign_document(read_file(file), _on_card(card)), out)
        return OK
    passphrase = read_passphrase(passphrase_env)
    key = load_pkcs12(Path(keys), passphrase, "company")
    output.write_bytes(sign_document(read_file(file), key), out)
    return OK


def _on_card(given: dict[str, str | None]) -> CardKey:
    from adapter.config import Pkcs11Settings, Secret
    from adapter.config_mail import key_fault
    from adapter.security.pkcs11 import load_pkcs11

    module, token, file = given["pkcs11"], given["token"], given["certificate"]
    if module is None or token is None:
        raise click.UsageError("--pkcs11 needs --token.")
    settings = Pkcs11Settings(module=module, token=token, key_label=given["key_label"], key_id=given["key_id"])
    if fault := key_fault(None, Secret(), settings):
        raise click.UsageError(f"{fault[0].capitalize()}.")
    pin = read_passphrase(given["pin_env"])
    return load_pkcs11(
        settings, lambda: pin, "person", name=token, certificate=Path(file) if file is not None else None
    )


def read_passphrase(variable: str | None) -> bytes | None:
    """The passphrase in an environment variable; None when none is named. Raises SettingsError when it is not set."""
    if variable is None:
        return None
    if variable not in os.environ:
        from adapter.errors import SettingsError

        raise SettingsError("the environment variable of the passphrase is not set", where=variable)
    return os.environ[variable].encode()
