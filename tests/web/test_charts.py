"""Charts: where their parts are, and what is in them as text."""

from __future__ import annotations

import re

import pytest
from flask import Flask, render_template_string

from dservercore.web import charts
from dservercore.web.charts import Column

HOSTILE = "</title><script>alert(1)</script>\"' onload=x \u202e"


class TestLines:
    @pytest.mark.parametrize(
        ("greatest", "lines"),
        [
            (0, [1]),
            (1, [1]),
            (3, [1, 2, 3]),
            (4, [1, 2, 3, 4]),
            (5, [2, 4, 6]),
            (199, [50, 100, 150, 200]),
            (201, [100, 200, 300]),
            (10_400_000_000_000, [5_000_000_000_000, 10_000_000_000_000, 15_000_000_000_000]),
        ],
    )
    def test_are_round_and_reach_the_greatest_value(self, greatest: int, lines: list[int]) -> None:
        assert charts.lines_up_to(greatest) == lines

    def test_reach_whatever_there_is(self) -> None:
        for power in range(28):
            lines = charts.lines_up_to(7 * 10**power + 1)
            assert lines[-1] > 7 * 10**power
            assert len(lines) <= 4


class TestColumns:
    def test_stand_side_by_side_and_are_as_high_as_their_values(self) -> None:
        chart = charts.columns([Column("a", 40), Column("b", 0), Column("c", 10)])
        heights = [placed.height for placed in chart.columns]
        assert heights == [charts.FLOOR - charts.TOP, 0, (charts.FLOOR - charts.TOP) / 4]
        for placed in chart.columns:
            assert placed.y + placed.height == charts.FLOOR
            assert 0 <= placed.x < placed.x + placed.width <= 100
        assert [placed.x for placed in chart.columns] == sorted(placed.x for placed in chart.columns)
        assert [value for value, _ in chart.lines] == [10, 20, 30, 40]

    def test_what_is_little_is_seen(self) -> None:
        chart = charts.columns([Column("a", 10**15), Column("b", 1)])
        assert chart.columns[1].height >= 2

    @pytest.mark.parametrize("number", [1, 2, 6, 7, 13, 60])
    def test_labels_have_room_and_the_last_has_one(self, number: int) -> None:
        chart = charts.columns([Column(str(n), n) for n in range(number)])
        labelled = [placed.is_labelled for placed in chart.columns]
        assert labelled[-1]
        assert 1 <= sum(labelled) <= charts.MOST_LABELS

    def test_of_nothing_there_are_none(self) -> None:
        assert charts.columns([]).columns == ()
        assert charts.columns([Column("a", 0)]).columns[0].height == 0

    def test_names_are_text(self, app: Flask) -> None:
        source = '{% from "web/charts.html" import columns with context %}{{ columns("x", chart, bad, bad, f, f) }}'
        with app.test_request_context():
            drawn = render_template_string(
                source,
                chart=charts.columns([Column(HOSTILE, 3, "/?tags=x&y"), Column("b", 0)]),
                bad=HOSTILE,
                f=lambda value: f"{value} {HOSTILE}",
            )
        assert "<script" not in drawn
        assert set(re.findall(r"<(\w+)", drawn)) == {
            *("div", "svg", "title", "desc", "line", "text", "a", "g", "rect")
        }
        assert 'href="/?tags=x&amp;y"' in drawn
        assert " style=" not in drawn


class TestBars:
    @pytest.mark.parametrize(
        ("value", "greatest", "share"), [(0, 0, 0), (0, 5, 0), (5, 5, 100), (1, 3, 33.33), (1, 10**9, 1)]
    )
    def test_are_as_long_as_their_share(self, value: int, greatest: int, share: float) -> None:
        assert charts.share(value, greatest) == share


class TestPeriods:
    def labels(self, *months: str) -> list[tuple[str, int]]:
        found = charts.periods([(month, (1, 10)) for month in months])
        return [(period.label, period.figures[0]) for period in found]

    def test_a_few_years_are_shown_by_months_without_a_gap(self) -> None:
        assert self.labels("2025-11", "2026-02") == [
            ("2025-11", 1),
            ("2025-12", 0),
            ("2026-01", 0),
            ("2026-02", 1),
        ]
        assert self.labels("2026-05") == [("2026-05", 1)]
        assert self.labels() == []

    def test_many_are_shown_by_years(self) -> None:
        assert self.labels("2021-01", "2021-12", "2024-01") == [
            ("2021", 2),
            ("2022", 0),
            ("2023", 0),
            ("2024", 1),
        ]

    def test_the_whole_of_time_is_shown_by_centuries(self) -> None:
        found = charts.periods([("0001-01", (1, 2)), ("2026-01", (3, 4)), ("9999-12", (5, 6))])
        assert len(found) <= charts.MOST_COLUMNS
        assert [period.label for period in found][:1] == ["0001–0199"]
        assert found[-1].last == "9999"
        assert sum(period.figures[0] for period in found) == 9
        assert sum(period.figures[1] for period in found) == 12
