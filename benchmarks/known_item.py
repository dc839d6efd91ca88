"""Known-item test: is the dataset that one has in mind among the first that a search shows?

Somebody remembers two words of a dataset's title and one of how it is described, and asks for these three, sorted by
relevance; or makes a mistake in doing so, which makes a kind of question of its own:

  exact     the three words as they are
  typo      two neighbouring letters of the longest word swapped
  typo2     one letter of the longest word lost, added or replaced
  all       the same in every word from 5 letters on
  prefix    the last word only half typed
  slip      one word more, which another description has and this one has not
  question  a sentence: where is the data on A and B from the C?
  glued     the two words of the title written as one
  split     the longest word written as two

The score of a question is 1 for the first place, 1/2 for the second and so on, 0 beyond the tenth; the mean over all
questions is the MRR@10. Where a mistake cannot be made, as in splitting a word of three letters, nothing is asked.

Each backend is asked through HTTP, with the same datasets, registered in bulk. The exit status is 1 if a figure that is
required is missed. With --peoples, questions in people's own words are asked too, and reported apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import requests

from benchmarks import backends, bulk, report
from benchmarks.checks import WrongAnswerError
from benchmarks.descriptions import BASE_URI, CORPUS, Description, dataset_info, read_descriptions
from benchmarks.installations import Served
from benchmarks.known_item_questions import KINDS, Question, ask
from benchmarks.options import parser_of
from benchmarks.ours import POSTGRESQL
from benchmarks.questions import put
from benchmarks.workload import USERNAME

#: The MRR@10 that each backend has to reach, by kind.
REQUIRED = {
    "exact": 0.90,
    "typo": 0.89,
    "typo2": 0.89,
    "all": 0.86,
    "prefix": 0.80,
    "slip": 0.83,
    "question": 0.89,
    "glued": 0.88,
    "split": 0.87,
}
DEFAULT_SEEDS = list(range(10))
SEEDS_HELP = "each makes another set of questions (default: 0 to 9)"
QUICK_QUESTIONS = 60
FIRST = 10  # results that count
TOGETHER = 20  # descriptions in one request: a busy machine takes a while for all of them
PEOPLES_QUESTIONS = Path(__file__).with_name("peoples_questions.jsonl")
PATIENCE_SECONDS = 120


class UnknownDescriptionError(Exception):
    """A question is about a dataset that is not in the corpus."""


Search = Callable[[str], Sequence[str]]
Score = dict[str, Any]


# -- Scores ----------------------------------------------------------------------------------------------------------


def mean_reciprocal_rank(search: Search, questions: Sequence[Question]) -> float:
    """Return the MRR@10.

    :param search: returns the URIs of the first ten results for a text, best first
    :param questions: one at least
    """
    return fmean(_reciprocal_rank(search(question.text)[:FIRST], question.uri) for question in questions)


def _reciprocal_rank(found: Sequence[str], uri: str) -> float:
    return 1 / (found.index(uri) + 1) if uri in found else 0.0


def score(search: Search, questions: Mapping[str, Sequence[Question]]) -> Score:
    """Return what a search scores: ``questions`` (how many), ``mrr_at_10`` by name, and their ``mean``, 0 of nothing.

    :param questions: several sets of them by name, such as one of each seed
    """
    scores = {name: mean_reciprocal_rank(search, asked) for name, asked in questions.items()}
    number = sum(len(asked) for asked in questions.values())
    return {"questions": number, "mrr_at_10": scores, "mean": fmean(scores.values() or [0])}


# -- Questions -------------------------------------------------------------------------------------------------------


def questions_of(
    kind: str, descriptions: Sequence[Description], seeds: Sequence[int], most: int | None = None
) -> dict[str, list[Question]]:
    """Return the questions of one kind by seed; *most* of each seed, if not None, taken evenly from all."""
    asked = {str(seed): ask(kind, descriptions, seed) for seed in seeds}
    return {seed: _evenly(questions, most) for seed, questions in asked.items() if questions}


def _evenly(questions: list[Question], most: int | None) -> list[Question]:
    if most is None or len(questions) <= most:
        return questions
    return [questions[number * len(questions) // most] for number in range(most)]


def peoples_questions(
    descriptions: Sequence[Description], file: Path = PEOPLES_QUESTIONS
) -> dict[str, list[Question]]:
    """Return what people asked in their own words, by kind.

    :param file: JSON lines with ``question``, ``kind``, and the ``slug`` of the description that is meant
    :returns: the same questions once more, all of them, as ``together``
    :raises FileNotFoundError: if it is not there
    :raises UnknownDescriptionError: if a description is meant that is not among *descriptions*
    """
    uris = {description.slug: description.uri for description in descriptions}
    asked: dict[str, list[Question]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        if fields["slug"] not in uris:
            raise UnknownDescriptionError(f"The corpus has no {fields['slug']!r}, which {file} asks for")
        asked.setdefault(fields["kind"], []).append(Question(fields["question"], uris[fields["slug"]]))
    return {**asked, "together": [question for of_kind in asked.values() for question in of_kind]}


# -- The server ------------------------------------------------------------------------------------------------------


@contextmanager
def serving(descriptions: Sequence[Description], backend: str, address: str) -> Iterator[Served]:
    """Return a running server in which the descriptions are registered, and nothing else.

    :param backend: one of :data:`backends.BACKENDS`
    :param address: of a PostgreSQL server on which databases may be made
    """
    with tempfile.TemporaryDirectory() as folder, backends.empty(Path(folder), backend, address) as ours:
        ours.flask("base_uri", "add", BASE_URI)
        for permission in ("search_permission", "register_permission"):
            ours.flask("user", permission, USERNAME, BASE_URI)
        with ours.serve() as server:
            for start in range(0, len(descriptions), TOGETHER):
                together = descriptions[start : start + TOGETHER]
                bulk.send(server, [put(dataset_info(description)) for description in together])
            yield server


def searching(server: Served) -> Search:
    """Return a function that searches through HTTP: the URIs of the most relevant datasets, best first.

    It raises a WrongAnswerError for a status of 400 or more.
    """
    session = requests.Session()
    session.trust_env = False  # neither a proxy nor another password of the caller's
    session.headers["Authorization"] = f"Bearer {server.token}"

    def first_ten(text: str) -> list[str]:
        query: dict[str, str | int] = {"free_text": text, "sort": "relevance", "page_size": FIRST}
        answer = session.get(f"{server.address}/uris", params=query, timeout=PATIENCE_SECONDS)
        if not answer.ok:
            raise WrongAnswerError(f"{answer.status_code} from {answer.url}: {answer.text[:500]}")
        return [dataset["uri"] for dataset in answer.json()]

    return first_ten


# -- The command -----------------------------------------------------------------------------------------------------


def measure_kinds(
    options: argparse.Namespace, descriptions: Sequence[Description], search: Search
) -> dict[str, Score]:
    """Return the score of each kind, with what is ``required`` of it, and whether that is ``reached``."""
    scores = {}
    for kind in options.kinds:
        most = QUICK_QUESTIONS if options.quick else None
        of_kind = score(search, questions_of(kind, descriptions, options.seeds, most))
        reached = of_kind["mean"] >= REQUIRED[kind]
        scores[kind] = {**of_kind, "required": REQUIRED[kind], "reached": reached}
        report.say(f"  {kind}: {of_kind['mean']:.4f}")
    return scores


def show(title: str, by_backend: Mapping[str, Mapping[str, Score]]) -> None:
    """Print a table with a row for each kind and a column for each backend."""
    rows = []
    for kind, first in next(iter(by_backend.values())).items():
        of_kind = [scores[kind] for scores in by_backend.values()]
        row = [kind, str(first["questions"]), *(f"{backend['mean']:.4f}" for backend in of_kind)]
        if "required" in first:
            reached = all(backend["reached"] for backend in of_kind)
            row += [f"{first['required']:.2f}", "yes" if reached else "NO"]
        rows.append(row)
    if rows:
        heads = ["kind", "questions", *by_backend, "required", "reached"]
        print(f"\n{title}\n\n{report.table(heads[: len(rows[0])], rows)}", flush=True)


def arguments() -> argparse.Namespace:
    parser = parser_of("known_item", __doc__)
    add = parser.add_argument
    stores, kinds = backends.BACKENDS, list(KINDS)
    add("--backend", nargs="+", choices=stores, default=["sqlite"], help="one or several (default: sqlite)")
    add("--kinds", nargs="*", choices=kinds, default=kinds, help="which to ask (default: all)")
    add("--seeds", type=int, nargs="+", metavar="SEED", default=DEFAULT_SEEDS, help=SEEDS_HELP)
    add("--peoples", action="store_true", help="ask questions in people's own words, too")
    add("--corpus", type=Path, default=CORPUS, metavar="FILE", help="gzipped JSON lines (%(default)s)")
    add("--address", default=POSTGRESQL, help="of PostgreSQL, for a database of its own (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    add("--quick", action="store_true", help=f"one seed, and {QUICK_QUESTIONS} questions of each kind")
    options = parser.parse_args()
    if options.quick:
        options.seeds = options.seeds[:1]
    if not options.corpus.exists():
        parser.error(f"there is no corpus at {options.corpus}: name one with --corpus")
    return options


def main() -> int:
    options = arguments()
    descriptions = read_descriptions(options.corpus)
    peoples: dict[str, list[Question]] = {}
    if options.peoples:
        try:
            peoples = peoples_questions(descriptions)
        except (FileNotFoundError, UnknownDescriptionError) as error:
            report.say(f"No people's questions are asked: {error}")
    figures: dict[str, dict[str, dict[str, Score]]] = {"known_item": {}, "peoples": {}}
    for backend in options.backend:
        report.say(f"{len(descriptions):,} datasets on {backend}")
        with serving(descriptions, backend, options.address) as server:
            search = searching(server)
            figures["known_item"][backend] = measure_kinds(options, descriptions, search)
            figures["peoples"][backend] = {
                kind: score(search, {kind: questions}) for kind, questions in peoples.items()
            }
        report.write(options.json, options, figures)
    show("MRR@10 by kind of question, mean of the seeds", figures["known_item"])
    show("MRR@10 of people's questions, of which nothing is required", figures["peoples"])
    reached = [of_kind["reached"] for kinds in figures["known_item"].values() for of_kind in kinds.values()]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
