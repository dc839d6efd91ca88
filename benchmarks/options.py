"""The options that several benchmarks have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.installations import DEFAULT_WORK


def parser_of(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return the parser of ``python -m benchmarks.<name>``."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_kept(parser: argparse.ArgumentParser) -> None:
    """Add where data is kept and figures go, and the quick mode."""
    parser.add_argument(
        "--work", type=_folder, default=DEFAULT_WORK, help="folder of what is kept between runs (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    parser.add_argument(
        "--quick", action="store_true", help="a few datasets and seconds, to see that it works"
    )


def add_common(parser: argparse.ArgumentParser, sizes: list[int]) -> None:
    """Add the options of a benchmark that sends requests to servers with different numbers of datasets."""
    default = " ".join(map(str, sizes))
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=sizes, help=f"numbers of datasets (default: {default})"
    )
    parser.add_argument("--seconds", type=int, default=10, help="of load, in each round (default: 10)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="turns of each operation (default: %(default)s)"
    )
    parser.add_argument("--connections", type=int, default=4, help="clients at the same time (default: 4)")
    parser.add_argument(
        "--pause",
        type=int,
        default=0,
        metavar="MS",
        help="before each request, to leave time for other programs",
    )
    parser.add_argument("--seed", type=int, default=1, help="another one makes other datasets and requests")
    add_kept(parser)


def _folder(name: str) -> Path:
    folder = Path(name).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
