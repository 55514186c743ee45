"""``python -m llmos.guard.no_network PROGRAM ARGUMENTS…``: runs a program without network."""

from __future__ import annotations

import os
import sys

from llmos.guard.offline import forbid_network
from llmos.types import UserError


def main(argv: list[str]) -> int:
    """Take the network away, then become the program; 126 when that fails."""
    if not argv:
        print("Name the program to run without network.", file=sys.stderr)
        return 126
    try:
        forbid_network()
        os.execvp(argv[0], argv)
    except (UserError, OSError) as error:
        print(f"{argv[0]} is not run: {error}", file=sys.stderr)
        return 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
