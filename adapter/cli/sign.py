"""sign: sign a finished message with a key from a file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from adapter.cli import output
from adapter.cli.app import OK
from adapter.cli.opening import read_file


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--keys", required=True, type=click.Path(exists=True, dir_okay=False), metavar="P12", help="A PKCS#12 file."
)
@click.option("--passphrase-env", metavar="VAR", help="The environment variable that holds its passphrase.")
@click.option("-o", "--out", metavar="FILE", help="Where to; default: stdout.")
def sign(file: str, keys: str, passphrase_env: str | None, out: str | None) -> int:
    """Sign a message: an enveloped XML signature over the whole MsgHead (RSA-SHA256).

    The key file must be readable by you alone (chmod 600). A message that is signed already is refused.

    \b
    Example:
      P12_PASS=… adapter sign message.xml --keys company.p12 --passphrase-env P12_PASS -o signed.xml
    """
    from adapter.security.keys import load_pkcs12
    from adapter.security.xmldsig import sign_document

    passphrase = read_passphrase(passphrase_env)
    key = load_pkcs12(Path(keys), passphrase, "company")
    output.write_bytes(sign_document(read_file(file), key), out)
    return OK


def read_passphrase(variable: str | None) -> bytes | None:
    """The passphrase in an environment variable; None when none is named. Raises SettingsError when it is not set."""
    if variable is None:
        return None
    if variable not in os.environ:
        from adapter.errors import SettingsError

        raise SettingsError("the environment variable of the passphrase is not set", where=variable)
    return os.environ[variable].encode()
