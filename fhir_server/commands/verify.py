"""``consentry verify``: a receipt, without any server.  All of it is ``anchoring.verify``."""

import argparse

from anchoring import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    verify.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 with a line for each step proved, or 1 naming the step that failed."""
    return verify.run(arguments)
