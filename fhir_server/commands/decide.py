"""``consentry decide``: one consent case, decided by the engine that the server uses."""

import argparse
from pathlib import Path

from consent_engine.__main__ import main


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument(
        "case", type=Path, help="JSON file; with --ndjson one case a line, or - for standard input"
    )
    parser.add_argument(
        "--ndjson", action="store_true", help="one case a line in, one answer a line out"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the decision as JSON."""
    options = ["--ndjson"] if arguments.ndjson else []
    return main(["decide", *options, str(arguments.case)])
