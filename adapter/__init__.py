"""The message adapter for Norwegian health care. Public names load lazily; see README, Embedding."""

__version__ = "0.1.0"
