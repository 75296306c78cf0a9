"""The servers that the tests stand on, where a flaw of theirs would look like ours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.transport.mail_servers import Dovecot


def test_mails_that_are_delivered_at_the_same_moment_are_all_there(dovecot: Dovecot) -> None:
    mails = [b"Subject: %d\r\n\r\nx\r\n" % number for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda mail: dovecot.deliver("at once", mail), mails))
    assert sorted(dovecot.held("at once")) == sorted(mails)
