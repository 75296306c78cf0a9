"""Formats of the ebXML road: envelope, packaging, agreements and the rules that judge them. No I/O, no keys."""
