"""Formats of the ebXML road (HIS 1037:2011 on ebMS 2.0): no I/O, no keys, no clock.

In:  ``opening`` → ``mime``, ``head`` (unpack) → ``read`` (words) → ``check_*``, ``structure`` → ``rulebook``
(HITS 1172 as data) → ``decide`` (the one answer); ``plaintext`` after decryption, ``bounce`` for mail that came back.
Out: ``compose`` (words) → ``build`` (SOAP) → ``check_outgoing`` → ``pack`` (mail, HTTP).
Agreements: ``cpa`` (read) → ``agreement`` (facts, look-ups) → ``agreement_report`` (for people).
"""
