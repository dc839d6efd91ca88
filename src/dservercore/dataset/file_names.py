"""Patterns of file names, such as ``plate_*_R1.tif``, over the tokens that an index has of all names of a dataset."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dservercore.dataset.analysis import BREAK
from dservercore.dataset.query_tree import FileName, Piece

#: Anything but the border between two names.
_WITHIN = rf"[^{re.escape(BREAK)}]*"
_PART_OF_WORD = rf"[^ {re.escape(BREAK)}]*"


@dataclass(frozen=True)
class Pattern:
    """How to find a name in the column ``files``, with a space at both of its ends.

    :ivar phrases: tokens that must follow each other, of which each name that fits has all
    :ivar expression: regular expression that finds a name that fits, as Python, PostgreSQL and MongoDB read it
    :ivar is_exact: whether there is one phrase, and every name that has it fits
    """

    phrases: tuple[tuple[str, ...], ...]
    expression: str
    is_exact: bool


def pattern_of(file_name: FileName) -> Pattern:
    """Return how to find the names that fit."""
    phrases = []
    expression = ""
    last = len(file_name.pieces) - 1
    for number, piece in enumerate(file_name.pieces):
        ends = number == last and not file_name.is_open and not piece.is_open_right
        whole = piece.tokens[piece.is_open_left : len(piece.tokens) - piece.is_open_right]
        if whole or ends:
            phrases.append((*whole, BREAK) if ends else whole)
        expression += _expression_of(piece, file_name.pieces[number - 1] if number else None)
        if ends:
            expression += f" {re.escape(BREAK)}"
        elif number == last and not piece.is_open_right:
            expression += " "
    [only] = file_name.pieces if last == 0 else [None]
    is_exact = only is not None and not only.is_open_left and not only.is_open_right
    return Pattern(tuple(filter(None, phrases)), expression, is_exact)


def _expression_of(piece: Piece, before: Piece | None) -> str:
    tokens = [re.escape(token) for token in piece.tokens]
    if piece.is_open_right:
        # The stored stem of a word may be shorter than what is typed of it, and has no zeros in front.
        typed = piece.tokens[-1]
        begun = typed.lstrip("0") if typed.isdigit() else typed
        tokens[-1] = f"{re.escape(begun)}{_PART_OF_WORD}"
    text = " ".join(tokens)
    if before is None:
        return f"{_PART_OF_WORD}{text}" if piece.is_open_left else f" {text}"
    if piece.is_open_left:
        return f"{_WITHIN}{text}" if before.is_open_right else f" {_WITHIN}{text}"
    return f"{_WITHIN} {text}" if before.is_open_right else f"( {_WITHIN})? {text}"
