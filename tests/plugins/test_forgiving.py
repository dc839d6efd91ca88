"""What is found where something is typed wrong, half remembered or asked in a sentence; alike on every backend."""

from __future__ import annotations

from typing import Any

import pytest
from flask_smorest.pagination import PaginationParameters

from dservercore.db import sql_db
from dservercore.plugins.tokens.stop_words import STOP_WORDS
from dservercore.plugins.tokens.vocabulary import allowed_mistakes, deletions, distance
from dservercore.rest.sort import SortParameters

RED, BLUE = "s3://red", "s3://blue"


@pytest.fixture
def library(shelf: Any) -> Any:
    """Three datasets about different things, and one that only shares its files' kind."""
    shelf.register(
        "electricity-meters",
        readme="title: Consumption of electricity\ndescription: smart meters of households in Freiburg\n",
        tags=["energy"],
        annotations={"temperature": 21.5, "plots": {"north": [17, 2.5]}},
        files=["plate_07_R1.fastq.gz", "plate_08_R2.fastq.gz"],
    )
    shelf.register(
        "microscope-images",
        readme="description: zebrafish embryos under a confocal microscope, smoking chamber\n",
        tags=["imaging", "zebrafish"],
        files=["embryo_1.tif"],
        creator_username="anna",
    )
    shelf.register("rice-genome", BLUE, readme="description: leaves of rice, sequenced\n", files=["rice.fa"])
    shelf.register("void", readme="")
    return shelf


def first(shelf: Any, text: str, **query: Any) -> tuple[list[str], dict[str, Any] | None]:
    """Return the names on the first page by relevance, and what was done to the query."""
    pagination = PaginationParameters(1, 10)
    asked = {"free_text": text, "base_uris": shelf.base_uris(), **query}
    found = shelf.search.search(asked, pagination, SortParameters("-relevance"))
    assert pagination.item_count >= len(found)
    return [dataset["name"] for dataset in found], getattr(pagination, "search_report", None)


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [
        ("zebarfish", "zebrafish"),  # letters swapped
        ("zebrfish", "zebrafish"),  # lost
        ("zebraafish", "zebrafish"),  # added
        ("zebrafich", "zebrafish"),  # replaced
        ("ebrafish", "zebrafish"),  # the first one
        ("zebrafis", "zebrafish"),  # half typed
        ("zebr", "zebrafish"),
        ("microscopy", "microscope"),  # related
        ("smokers", "smoking"),
        ("zebrafishembryos", "zebrafish embryos"),  # glued
        ("zebra fish", "zebrafish"),  # split
        ("confocal microsocpe", "microscope"),
    ],
)
def test_a_mistake_is_forgiven(library: Any, typed: str, read_as: str) -> None:
    found, report = first(library, typed)
    assert found[:1] == ["microscope-images"]
    assert report is not None
    assert read_as in [word for words in report["corrected"].values() for word in words]
    assert report["strict_total"] == 0
    assert first(library, typed, strict=True) == ([], None)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("electricity zebrafish", {"electricity-meters", "microscope-images"}),
        ("households rice confocal", {"electricity-meters", "rice-genome", "microscope-images"}),
        ("where is the data on electricity from Freiburg?", {"electricity-meters"}),
        ("the microscope", {"microscope-images"}),
        ("unheardof electricity", {"electricity-meters"}),
        ("elecrticity housheolds", {"electricity-meters"}),
    ],
)
def test_most_words_will_do(library: Any, typed: str, found: set[str]) -> None:
    assert set(first(library, typed)[0]) == found


def test_what_has_all_words_comes_first(library: Any) -> None:
    library.register("electricity", readme="of rice")
    assert first(library, "rice electricity")[0][0] == "electricity"


@pytest.mark.parametrize(
    "typed",
    [
        "xqz",  # too short
        "8ecd8e05-558a-48e2-b563-0c9ea273e71f",  # identifiers and numbers
        "GSE12345",
        "plate07-R9",
        "20260",
        "nothinglikeit",
        "-zebarfish zebarfihs",  # what is excluded is meant as it is
        '"zebarfish embryos"',
        "name:zebarfish",
    ],
)
def test_no_match_for_what_nothing_is_like(library: Any, typed: str) -> None:
    assert first(library, typed)[0] in ([], ["microscope-images"] if typed.startswith("-") else [])


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [
        ("modisoc3", "modis oc3"),
        ("3deplidar", "3dep lidar"),
        ("smap vex08", "smapvex08"),
        ("nasa smap vex08", "smapvex08"),
    ],
)
def test_numbers_in_words_that_are_glued_or_torn_apart(library: Any, typed: str, read_as: str) -> None:
    readme = "project 2010: modis of OC3, lidar by 3DEP, SMAPVEX08, sentinel 3A, in orbit, nasa"
    library.register("satellites", readme=readme)
    found, report = first(library, typed)
    assert found[:1] == ["satellites"]
    assert report is not None
    assert read_as in [word for words in report["corrected"].values() for word in words]


def test_an_identifier_is_never_taken_apart(library: Any) -> None:
    library.register("samples", readme="gsm 1234567")
    library.register("others", readme="1234568 of gsm")
    assert first(library, "GSM1234568")[0] == []
    assert first(library, "GSM1234567")[0] == ["samples"]


@pytest.mark.parametrize(
    "typed", ["IL7", "il07", "BRCA1", "TP53", "D7", "GSM1950", "plate9x", "cd4t", "IL-7"]
)
def test_a_word_with_digits_is_not_two_words_anywhere(library: Any, typed: str) -> None:
    readme = (
        "IL-6 on plate 07, br and ca of sample 1, D 8, in 7 of 2010, one project 2012, plate of 9x, t on cd 4"
    )
    library.register("cytokines", readme=readme, files=["plate_07.csv"])
    assert first(library, typed) == ([], None)


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [("global1950", "global 1950"), ("2010project", "2010 project"), ("sea1950", "sea 1950")],
)
def test_a_word_and_a_year_without_a_space_may_be_apart(library: Any, typed: str, read_as: str) -> None:
    library.register("climate", readme="project of the sea, global, from Turkey, in 1950 and 2010, volume 2")
    found, report = first(library, typed)
    assert found == ["climate"]
    assert report == {"corrected": {typed: [read_as]}, "optional": [], "strict_total": 0}


def test_a_word_and_another_number_may_be_apart_in_the_name(library: Any) -> None:
    library.register("volume-of-turkey-2", readme="edition of sample 3")
    library.register("climate", readme="turkey in volume 2, edition 5 of sample 7")
    assert first(library, "Turkey2")[0] == ["volume-of-turkey-2"]
    for typed in ("edition3", "edition7", "sample5", "turkey3"):
        assert first(library, typed) == ([], None)


def test_two_words_without_a_space_each_make_a_dataset_relevant(library: Any) -> None:
    library.register("sac-project", readme="observations")
    library.register(
        "observations", readme="observations of observations, and project\n" + "text " * 400 + "sac"
    )
    assert first(library, "sacproject observations")[0][:2] == ["sac-project", "observations"]


@pytest.mark.parametrize(
    "typed", ["plate7", "Plate07", "plate_7", "il6", "sample12leaf", "12leaf", "sentinel3a"]
)
def test_a_word_with_digits_is_found_where_its_parts_stand_together(library: Any, typed: str) -> None:
    library.register("cytokines", readme="IL-6, sample 12 leaf, sentinel 3A", files=["plate_07.csv"])
    assert "cytokines" in first(library, typed)[0]


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [
        ("running:mouse", "running mouse"),
        ("mice-studies", "mice studies"),
        ("Diseases/Sequences", "diseases sequences"),
        ("modisoc3", "modis oc3"),
    ],
)
def test_the_report_shows_words_and_no_stems(library: Any, typed: str, read_as: str) -> None:
    library.register(
        "runs", readme="mice that were running, by studies of diseases, with their sequences, modis and OC3"
    )
    assert first(library, typed) == (
        ["runs"],
        {"corrected": {typed: [read_as]}, "optional": [], "strict_total": 0},
    )


@pytest.mark.parametrize(
    ("typed", "related"),
    [
        ("thermo couple", {"thermal"}),
        ("smokers couple", {"smoking"}),
        ("microscopy couple", {"microscope"}),
        ("contractual couple", set()),
        ("therapists couple", {"therapies"}),
        ("interim couple", set()),
    ],
)
def test_related_words_have_more_than_a_beginning_in_common(
    library: Any, typed: str, related: set[str]
) -> None:
    library.register(
        "words",
        readme="there, therein, therefore, thermal, therapies, contrast, interest, inter alia, couple",
    )
    _, report = first(library, typed)
    corrected = report["corrected"] if report else {}
    assert {word for words in corrected.values() for word in words} == related


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [
        ("species:Mouse", "species mouse"),
        ("species:mice", "species mice"),
        ("donor:d7", "donor d7"),
        ("Dose:1.05B", "dose 1.05b"),
    ],
)
def test_a_value_that_no_annotation_has_just_so_is_looked_for_in_annotations(
    library: Any, typed: str, read_as: str
) -> None:
    library.register("annotated", annotations={"species": "mouse", "donor": "D7", "dose": "1.05b"})
    library.register("others", readme="donor 8, D 7, dose of 1.05b")
    assert first(library, typed) == (
        ["annotated"],
        {"corrected": {typed: [read_as]}, "optional": [], "strict_total": 0},
    )


@pytest.mark.parametrize(
    "readme",
    [
        "https://www.doi.org/10.1038/s41586-020-2649-2 arXiv:2101.00001 https://github.com/foo/bar 0000-0002-1825-0097",
        "10.1038/s41586-020-2649-2 (https://arxiv.org/abs/2101.00001v1) git@github.com:foo/bar.git "
        "https://orcid.org/0000-0002-1825-0097",
    ],
)
def test_an_address_finds_what_is_named_by_another(library: Any, readme: str) -> None:
    library.register("named", readme=readme)
    for typed in (
        "https://www.doi.org/10.1038/s41586-020-2649-2",
        "https://dx.doi.org/doi:10.1038/S41586-020-2649-2",
        "https://identifiers.org/doi:10.1038/s41586-020-2649-2/",
        "https://arxiv.org/abs/2101.00001",
        "arXiv:2101.00001",
        "https://github.com/foo/bar.git",
        "https://github.com/foo/bar/",
        "git@github.com:foo/bar.git",
        "https://orcid.org/0000-0002-1825-0097",
        "0000-0002-1825-0097",
    ):
        assert library.find(typed, strict=True) == ["named"], typed


def test_neighbours_that_are_words_may_be_one_word(library: Any) -> None:
    library.register("land", readme="land that is sat on, land by land, sat")
    library.register("landsat", readme="title: Landsat\n")
    found, report = first(library, "land sat")
    assert set(found) == {"land", "landsat"}
    assert report == {"corrected": {}, "optional": ["land", "sat"], "strict_total": 1}


def test_stop_words_that_are_left_out_are_told(library: Any) -> None:
    found, report = first(library, "the microscope")
    assert found == ["microscope-images"]
    assert report == {"corrected": {}, "optional": ["the"], "strict_total": 0}
    assert first(library, "a microscope") == (
        ["microscope-images"],
        {"corrected": {}, "optional": ["a"], "strict_total": 1},
    )


def test_words_that_exist_are_not_corrected_away(library: Any) -> None:
    library.register("rise", readme="of the sea")
    assert first(library, "rise")[0] == ["rise"]
    assert first(library, "rice")[0] == ["rice-genome"]


def test_filters_and_conditions_hold_for_what_is_forgiven(library: Any) -> None:
    assert first(library, "zebarfish", creator_usernames=["anna"])[0] == ["microscope-images"]
    assert first(library, "zebarfish", tags=["energy"])[0] == []
    assert first(library, "zebarfish creator:anna")[0] == ["microscope-images"]
    assert first(library, "zebarfish -tag:imaging")[0] == []


def test_no_hint_of_words_in_other_base_uris(library: Any) -> None:
    assert first(library, "geonme")[0] == ["rice-genome"]
    assert first(library, "geonme", base_uris=[RED]) == ([], None)
    assert first(library, "geno", base_uris=[RED]) == ([], None)
    assert first(library, "ricegenome", base_uris=[RED]) == ([], None)
    assert first(library, "sequ enced", base_uris=[RED]) == ([], None)


def test_a_deleted_dataset_gives_no_hint_either(library: Any) -> None:
    uri = library.register("gone", readme="description: xylophone\n")
    assert first(library, "xylophoen")[0] == ["gone"]
    library.delete(uri)
    assert first(library, "xylophoen") == ([], None)


def test_words_that_no_dataset_has_any_more_can_be_removed(library: Any) -> None:
    letters = "abcdefghijkl"
    many = [f"qu{a}{b}x" for a in letters for b in letters]
    uris = [library.register("gone", base_uri, readme=" ".join(many)) for base_uri in (RED, BLUE)]
    assert library.search.faults() == []
    library.delete(uris[0])
    assert library.search.faults() == ["has 145 words in its vocabulary that no dataset has"]
    library.search.mend_faults()
    sql_db.session.commit()
    assert library.search.faults() == []
    vocabulary = library.search.index.vocabulary
    assert vocabulary.known(["quaax", "gone", "zebrafish"], [RED]) == {"zebrafish"}
    assert vocabulary.known(["quaax", "gone", "zebrafish"], [BLUE]) == {"quaax", "gone"}
    library.delete(uris[1])
    library.search.mend_faults()
    sql_db.session.commit()
    assert vocabulary.known(["quaax", "gone", "zebrafish"], [RED, BLUE]) == {"zebrafish"}
    assert vocabulary.near(["quaaax"], [RED, BLUE]) == {"quaaax": []}
    assert first(library, "zebarfish")[0] == ["microscope-images"]
    library.register("back", readme="quaax")
    assert first(library, "quaaax")[0] == ["back"]


def test_a_few_words_that_no_dataset_has_are_no_fault(library: Any) -> None:
    uri = library.register("gone", readme="description: xylophone\n")
    library.delete(uri)
    assert library.search.faults() == []


def test_an_edit_is_learnt_at_once(library: Any) -> None:
    uri = library.register("edited", readme="")
    library.set_readme(uri, "about kangaroos")
    library.set_tags(uri, ["marsupial"])
    library.set_annotations(uri, {"habitat": "outback"})
    for typed in ("kangaorus", "marsupail", "habtiat", "outbakc"):
        assert first(library, typed)[0] == ["edited"]


def test_other_orders_are_forgiving_only_where_nothing_is_found(library: Any) -> None:
    assert library.find("zebrafish electricity", page=1) == [
        "electricity-meters",
        "microscope-images",
    ] or set(library.find("zebrafish electricity", page=1)) == {"electricity-meters", "microscope-images"}
    library.register("both", readme="zebrafish, electricity")
    assert library.find("zebrafish electricity", page=1) == ["both"]
    assert library.find("zebrafish electricity", page=1, sort="name") == ["both"]


def test_pages_of_what_is_forgiven_make_up_the_whole(library: Any) -> None:
    for number in range(25):
        library.register(f"zebrafish-{number}", readme="zebrafish")
    pages = [library.find("zebarfish", sort="-relevance", page=page) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [10, 10, 6, 0]
    assert len({name for page in pages for name in page}) == 26


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("rice", "rice"),
        ("leaf scan", "leaf-scan"),
        ("Ecdat Electricity", "Ecdat-Electricity"),
        ("a b c", "a_b_c"),
    ],
)
def test_what_is_called_just_so_comes_first(shelf: Any, text: str, name: str) -> None:
    shelf.register(
        "files", readme=f"{text} " * 50, tags=text.split(), files=[f"{text}/{n}.jpg" for n in range(50)]
    )
    shelf.register(f"{name}-2", readme=f"title: {text}\n" * 20, tags=text.split())
    shelf.register(name, readme="long " * 3000, annotations={"numbers": list(range(3000))}, files=["x"] * 300)
    assert first(shelf, text)[0][0] == name


# -- Operators that ask for more than words --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("electricity AND meters", {"electricity-meters"}),
        ("electricity NOT meters", set()),
        ("(electricity OR rice) -meters", {"rice-genome"}),
        ("(zebrafish microscope) OR (rice leaves)", {"microscope-images", "rice-genome"}),
        ("NOT (zebrafish OR electricity OR rice)", {"void"}),
        ("rice OR NOT description", {"rice-genome", "void"}),
        ("name:rice", {"rice-genome"}),
        ("name:zebrafish", set()),
        ("readme:zebrafish", {"microscope-images"}),
        ("tag:zebrafish", {"microscope-images"}),
        ('readme:"smart meters"', {"electricity-meters"}),
        ("tag:(energy OR imaging)", {"electricity-meters", "microscope-images"}),
        ("annotation:temperature", {"electricity-meters"}),
        ("file:embryo", {"microscope-images"}),
        ("readme:embryo*", {"microscope-images"}),
        ("name:embryo*", set()),
        ("uri:blue", {"rice-genome"}),
        ("creator:anna", {"microscope-images"}),
        ("creator:ann", set()),
        ("-creator:anna readme:description", {"electricity-meters", "rice-genome"}),
        ("base:BLUE", {"rice-genome"}),
        ("base:red name:void", {"void"}),
        ("missing:readme", {"void"}),
        ("missing:description", {"void"}),
        ("-missing:tags", {"electricity-meters", "microscope-images"}),
        ("missing:annotations name:rice", {"rice-genome"}),
        ("temperature:>21", {"electricity-meters"}),
        ("temperature:>21.5", set()),
        ("Temperature:>=21.5", {"electricity-meters"}),
        ("temperature:20..22", {"electricity-meters"}),
        ("plots.north:<3", {"electricity-meters"}),
        ("plots.north:18..", set()),
        ("items:2", {"electricity-meters"}),
        ("items:>=1", {"electricity-meters", "microscope-images", "rice-genome"}),
        ("items:0 OR temperature:>21", {"electricity-meters", "void"}),
        ("-items:0", {"electricity-meters", "microscope-images", "rice-genome"}),
        ("*_R1.fastq.gz", {"electricity-meters"}),
        ("*_R1.fastq", set()),
        ("plate_*_R2.fastq.gz", {"electricity-meters"}),
        ("plate_07*R2.fastq.gz", set()),
        ("file:plate_0*.gz", {"electricity-meters"}),
        ("file:*ate_07_R1.fastq.gz", {"electricity-meters"}),
        ("file:*.tif OR file:*.fa", {"microscope-images", "rice-genome"}),
        ("-file:*.tif name:microscope", set()),
        ("file://rice.fa", set()),
    ],
)
def test_operators(library: Any, text: str, found: set[str]) -> None:
    assert set(library.find(text)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("created:2020", {"old"}),
        ("created:2020..2021", {"old", "new"}),
        ("created:>2020", {"new"}),
        ("created:<2021-03-02", {"old", "new"}),
        ("created:<2021-03-01", {"old"}),
        ("frozen:2022-05", {"old"}),
        ("size:>1GB", {"new"}),
        ("size:..1kB", {"old"}),
        ("size:1GiB..3GiB", {"new"}),
    ],
)
def test_times_and_sizes(shelf: Any, text: str, found: set[str]) -> None:
    shelf.register("old", created_at=1577836800.0, frozen_at=1652000000.0, size_in_bytes=1000)
    shelf.register("new", created_at=1614556800.0, frozen_at=1700000000.0, size_in_bytes=2_000_000_000)
    assert set(shelf.find(text)) == found


# -- The vocabulary --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("helth", "health"),
        ("heatlh", "health"),
        ("healthh", "health"),
        ("haelth", "health"),
        ("sequencign", "sequencing"),
        ("seqeuncign", "sequencing"),
        ("ssequencingg", "sequencing"),
        ("aple", "maple"),
    ],
)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_deletions_of_a_mistake_and_of_its_word_have_something_in_common(
    backend: str, typed: str, word: str
) -> None:
    assert set(deletions(typed, allowed_mistakes(typed))) & set(deletions(word))
    assert 0 < distance(typed, word) <= 2


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_stop_words_are_folded(backend: str) -> None:
    assert all(word == word.lower() and word.isalpha() for word in STOP_WORDS)
