"""Where the parts of a chart are: numbers for ``web/charts.html``, which draws them as SVG and as a table.

Widths are in hundredths of the chart, so that it fills whatever room there is while its texts keep their size; heights
are in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Pixels: the height of a chart of columns, the line that they stand on, and the top of the highest one.
HEIGHT, FLOOR, TOP = 170, 146, 20

#: So many labels are below the columns at most.
MOST_LABELS = 6

_LEAST = 2  # pixels of a column that stands for something
_GAP = 0.25  # of the room of a column
_WIDEST = 12.0  # hundredths


@dataclass(frozen=True)
class Column:
    """What a column stands for.

    :ivar label: such as a year
    :ivar url: of the page that has what is counted; empty: there is none
    """

    label: str
    value: int
    url: str = ""


@dataclass(frozen=True)
class Placed:
    """A column that has its place: hundredths from the left, and pixels from the top."""

    column: Column
    x: float
    width: float
    y: float
    height: float
    is_labelled: bool

    @property
    def middle(self) -> float:
        """Hundredths from the left."""
        return round(self.x + self.width / 2, 3)


@dataclass(frozen=True)
class Columns:
    """A chart of columns.

    :ivar columns: from left to right
    :ivar lines: the value of each line across the chart, and pixels from the top
    """

    columns: Sequence[Placed] = ()
    lines: Sequence[tuple[int, float]] = ()
    height: int = HEIGHT
    floor: int = FLOOR


def columns(given: Sequence[Column]) -> Columns:
    """Return the chart of some columns, in their order."""
    if not given:
        return Columns()
    steps = lines_up_to(max(column.value for column in given))
    room = 100 / len(given)
    width = min(room * (1 - _GAP), _WIDEST)
    every = -(-len(given) // MOST_LABELS)
    # The last one has a label, and those before it that are a whole number of steps away.
    last = (len(given) - 1) % every

    def height(value: int) -> float:
        if value <= 0:
            return 0
        return round(max(_LEAST, (FLOOR - TOP) * value / steps[-1]), 2)

    placed = [
        Placed(
            column,
            x=round(room * place + (room - width) / 2, 3),
            width=round(width, 3),
            y=round(FLOOR - height(column.value), 2),
            height=height(column.value),
            is_labelled=place % every == last,
        )
        for place, column in enumerate(given)
    ]
    return Columns(placed, [(step, round(FLOOR - (FLOOR - TOP) * step / steps[-1], 2)) for step in steps])


def lines_up_to(greatest: int, most: int = 4) -> list[int]:
    """Return round values of lines, up to the first that is not below the greatest value: ``[20, 40, 60]``."""
    step = 1
    for factor in _round_numbers():
        step = factor
        if factor * most >= greatest:
            break
    number = max(1, -(-greatest // step))
    return [step * count for count in range(1, number + 1)]


def _round_numbers() -> Sequence[int]:
    return [digit * 10**power for power in range(31) for digit in (1, 2, 5)]


def share(value: int, greatest: int) -> float:
    """Return the width of a bar in hundredths: of something at least one, of nothing none."""
    if value <= 0 or greatest <= 0:
        return 0
    return round(max(1.0, 100 * value / greatest), 2)


# -- Time ------------------------------------------------------------------------------------------------------------

#: Up to so many months are a column each; what is longer is shown by years, and by several years.
MOST_MONTHS, MOST_COLUMNS = 36, 60

Figures = tuple[int, int]


@dataclass(frozen=True)
class Period:
    """A month, a year or several, and the figures of it.

    :ivar first: ``2026-05`` or ``2026``
    :ivar last: the same, if it is one month or year
    """

    first: str
    last: str
    figures: Figures = (0, 0)

    @property
    def label(self) -> str:
        """What stands below its column."""
        return self.first if self.first == self.last else f"{self.first}–{self.last}"


def periods(months: Sequence[tuple[str, Figures]]) -> list[Period]:
    """Return months, years or several years without a gap, so that they can be seen side by side.

    :param months: such as ``2026-05``, each with its figures, in order
    """
    if not months:
        return []
    first, last = _number(months[0][0]), _number(months[-1][0])
    by_number = {_number(month): figures for month, figures in months}
    if last - first < MOST_MONTHS:
        return [
            Period(_month(number), _month(number), by_number.get(number, (0, 0)))
            for number in range(first, last + 1)
        ]
    first_year, last_year = first // 12, last // 12
    years = next(
        step for step in (1, *_round_numbers()[1:]) if (last_year - first_year) // step < MOST_COLUMNS
    )
    start = first_year - first_year % years
    sums: dict[int, Figures] = {}
    for number, (datasets, size) in by_number.items():
        place = (number // 12 - start) // years
        before = sums.get(place, (0, 0))
        sums[place] = before[0] + datasets, before[1] + size
    return [
        Period(
            f"{max(1, start + place * years):04}",
            f"{start + (place + 1) * years - 1:04}",
            sums.get(place, (0, 0)),
        )
        for place in range((last_year - start) // years + 1)
    ]


def _number(month: str) -> int:
    year, _, number = month.partition("-")
    return int(year) * 12 + int(number) - 1


def _month(number: int) -> str:
    return f"{number // 12:04}-{number % 12 + 1:02}"


def placed(given: Sequence[Period], which: int, url_of: Callable[[Period], str]) -> Columns:
    """Return the chart of one of the figures of periods.

    :param which: 0: datasets, 1: bytes
    """
    return columns(
        [
            Column(period.label, period.figures[which], url_of(period) if period.figures[0] else "")
            for period in given
        ]
    )
