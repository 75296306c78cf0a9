"""The message adapter for Norwegian health care. Public names load lazily; see README, Embedding."""
