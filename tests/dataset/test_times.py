"""Seconds since the epoch and naive UTC datetimes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from dservercore.dataset.times import datetime_to_timestamp, timestamp_to_datetime, utcnow
from dservercore.date_utils import extract_created_at_as_datetime, extract_frozen_at_as_datetime

SECONDS = 1536238185.881941
MOMENT = datetime(2018, 9, 6, 12, 49, 45, 881941)


@pytest.mark.parametrize("given", [SECONDS, "1536238185.881941"])
def test_a_number_or_a_numeric_string_is_a_moment_in_utc(given):
    assert timestamp_to_datetime(given) == MOMENT


def test_microseconds_survive_the_way_there_and_back():
    assert datetime_to_timestamp(timestamp_to_datetime(SECONDS)) == SECONDS
    assert timestamp_to_datetime(datetime_to_timestamp(MOMENT)) == MOMENT


def test_an_aware_datetime_keeps_its_moment():
    elsewhere = timezone(timedelta(hours=5))
    assert datetime_to_timestamp(MOMENT.replace(tzinfo=timezone.utc).astimezone(elsewhere)) == SECONDS


@pytest.mark.parametrize(
    ("seconds", "year"), [(-62135596800, 1), (-1, 1969), (0, 1970), (253402300799, 9999)]
)
def test_the_years_1_to_9999(seconds, year):
    assert timestamp_to_datetime(seconds).year == year


@pytest.mark.parametrize(
    "given",
    ["abc", "", "inf", "nan", "1e18", float("inf"), float("nan"), 1e18, 253402300800, -62135596801, 10**400],
)
def test_anything_else_is_a_value_error(given):
    with pytest.raises(ValueError, match=r".+"):
        timestamp_to_datetime(given)


@pytest.mark.parametrize("frozen_at", [SECONDS, str(SECONDS)])
def test_admin_metadata_in_both_forms(frozen_at):
    metadata = {"frozen_at": frozen_at, "created_at": 0}
    assert extract_frozen_at_as_datetime(metadata) == MOMENT
    assert extract_created_at_as_datetime(metadata) == datetime(1970, 1, 1)


@pytest.mark.parametrize("metadata", [{"frozen_at": SECONDS}, {"frozen_at": SECONDS, "created_at": None}])
def test_a_dataset_without_created_at_was_created_when_it_was_frozen(metadata):
    assert extract_created_at_as_datetime(metadata) == MOMENT


def test_now_is_naive_and_in_utc():
    now = utcnow()
    assert now.tzinfo is None
    assert abs(now - datetime.now(timezone.utc).replace(tzinfo=None)) < timedelta(minutes=1)
