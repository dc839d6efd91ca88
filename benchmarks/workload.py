"""What the benchmarks serve and ask for: made-up datasets from one seed, the same in every run and on every server.

20 base URIs, 40 creators, 60 tags of which a dataset has 0 to 4, READMEs of about 0.8 kB, annotations, and a manifest
of 50 items in up to 10,000 datasets and of 20 above. Words come as in texts: few are common, most are rare.
"""

from __future__ import annotations

import hashlib
import random
import re
import uuid
from collections.abc import Iterator
from functools import cached_property
from typing import Any

USERNAME = "reader"

BASE_URIS = [f"s3://storage-{number:02d}" for number in range(20)]
CREATORS = [f"creator-{number:02d}" for number in range(40)]
TAGS = [f"tag-{number:02d}" for number in range(60)]

#: Each of these is in the README of one dataset of eight, independently of each other.
COMMON = ["barley", "maize", "sorghum", "wheat", "potato", "lentil", "quinoa", "millet"]
#: So many datasets share one rare word.
RARE = 8

ITEMS_OF_FEW, ITEMS_OF_MANY, FEW = 50, 20, 10_000
_EXTENSIONS = ("csv", "fastq.gz", "tif", "txt", "bam")
_SYLLABLES = re.findall(
    "[a-z]+", "ba co di fu ga he ki lo mu na pe ri so tu va we xi yo zu qua sta tri plo gre"
)


class Workload:
    """The datasets of one size of installation, and what is asked about them.

    :param size: number of datasets
    :param seed: another one makes other datasets
    :param items: in each manifest; None: 50 in up to 10,000 datasets, 20 in more
    """

    def __init__(self, size: int, seed: int = 1, items: int | None = None) -> None:
        self.size, self.seed = size, seed
        self.items = items or (ITEMS_OF_FEW if size <= FEW else ITEMS_OF_MANY)

    @cached_property
    def _vocabulary(self) -> list[str]:
        chance = random.Random(self.seed)
        words = {"".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4))) for _ in range(6000)}
        return sorted(words)

    @cached_property
    def _weights(self) -> list[float]:
        # Zipf's law; summed up, as random.choices would do anew at each call.
        total, weights = 0.0, []
        for rank in range(1, len(self._vocabulary) + 1):
            total += 1 / (rank + 20)
            weights.append(total)
        return weights

    def _chance(self, number: int, what: str) -> random.Random:
        return random.Random(f"{self.seed}/{what}/{number}")

    def uuid(self, number: int) -> str:
        """Return the UUID of one dataset."""
        return str(uuid.UUID(int=self._chance(number, "uuid").getrandbits(128), version=4))

    def base_uri(self, number: int) -> str:
        """Return the base URI of one dataset."""
        return BASE_URIS[number % len(BASE_URIS)]

    def uri(self, number: int) -> str:
        """Return the URI of one dataset."""
        return f"{self.base_uri(number)}/{self.uuid(number)}"

    def rare_word(self, number: int) -> str:
        """Return the word that one dataset shares with ``RARE`` - 1 others."""
        return f"rare{number // RARE}word"

    def some_word(self, number: int) -> str:
        """Return a word of five letters or more in the README of one dataset, most often a rare one."""
        words = set(re.findall("[a-z]{5,}", self.document(number)["readme"])).difference(COMMON)
        known = [word for word in self._vocabulary if word in words]
        return self._chance(number, "word").choice(known)

    def document(self, number: int) -> dict[str, Any]:
        """Return the document to register of one dataset, as a client sends it."""
        chance = self._chance(number, "document")
        items = self._items(number)
        creator = chance.choice(CREATORS)
        created_at = 1_500_000_000 + 100 * number + chance.random()
        return {
            "uri": self.uri(number),
            "uuid": self.uuid(number),
            "base_uri": self.base_uri(number),
            "name": f"{chance.choice(self._vocabulary)}-{number}",
            "type": "dataset",
            "readme": self._readme(number, chance, creator),
            "manifest": {
                "dtoolcore_version": "3.19.0",
                "hash_function": "md5sum_hexdigest",
                "items": items,
            },
            "creator_username": creator,
            "created_at": created_at,
            "frozen_at": created_at + 60,
            "annotations": {"project": f"project-{chance.randrange(30)}", "replicate": chance.randrange(10)},
            "tags": chance.sample(TAGS, chance.randint(0, 4)),
            "number_of_items": len(items),
            "size_in_bytes": sum(item["size_in_bytes"] for item in items.values()),
        }

    def _readme(self, number: int, chance: random.Random, creator: str) -> str:
        words = chance.choices(self._vocabulary, cum_weights=self._weights, k=80)
        words += [word for word in COMMON if chance.random() < 1 / len(COMMON)]
        words.append(self.rare_word(number))
        chance.shuffle(words)
        lines = [" ".join(words[start : start + 10]) for start in range(0, len(words), 10)]
        text = "\n  ".join(lines)
        return (
            f"---\nproject: {chance.choice(self._vocabulary)}\nowner: {creator}\ndescription: |\n  {text}\n"
        )

    def _items(self, number: int) -> dict[str, Any]:
        chance = self._chance(number, "items")
        items = {}
        for position in range(self.items):
            folder, stem = chance.randrange(1000), chance.choice(self._vocabulary)
            path = f"sample_{folder}/{stem}_{position}.{chance.choice(_EXTENSIONS)}"
            items[hashlib.sha1(path.encode()).hexdigest()] = {
                "hash": f"{chance.getrandbits(128):032x}",
                "relpath": path,
                "size_in_bytes": chance.randrange(1, 10_000_000),
                "utc_timestamp": 1_500_000_000 + chance.random() * 1e6,
            }
        return items

    def documents(self, start: int = 0, stop: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the documents of the datasets from *start* on."""
        for number in range(start, self.size if stop is None else stop):
            yield self.document(number)
