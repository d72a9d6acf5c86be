"""`python -m spice_cli`, and the `spice` command."""

import signal


def main() -> None:
    """Run the command line; Ctrl-C before it is there ends the process without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from spice_cli.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
