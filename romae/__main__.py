"""``python -m romae`` is the ``romae`` command."""

from romae.cli import main

if __name__ == "__main__":
    main(prog_name="romae")
