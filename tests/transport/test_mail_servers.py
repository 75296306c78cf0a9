"""The servers that the tests stand on, where a flaw of theirs would look like ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.transport.mail_servers import Dovecot


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns as often as can be, so that they meet."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("impatient")
def test_mails_that_are_delivered_at_the_same_moment_are_all_there(dovecot: Dovecot) -> None:
    mails = [b"Subject: %d\r\n\r\nx\r\n" % number for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):  # the first mails to a user make the folders, too
            user = f"at-once-{number}"
            list(pool.map(lambda mail, user=user: dovecot.deliver(user, mail), mails))
            assert sorted(dovecot.held(user)) == sorted(mails)
