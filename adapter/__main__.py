"""``python -m adapter`` is the same as the ``adapter`` command."""

from adapter.cli import main

if __name__ == "__main__":
    main()
