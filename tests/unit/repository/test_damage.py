"""Which packs a check names, in each of restic's ways."""

from __future__ import annotations

import pytest

from mongo_backup.repository.damage import damaged_packs
from mongo_backup.repository.upkeep import PROOF

PACK, OTHER = "e7da" + 60 * "1", "4f92" + 60 * "2"


@pytest.mark.parametrize(
    "words",
    [
        f"Pack ID does not match, want {PACK}, got {OTHER}\nFatal: repository contains errors",
        f"pack {PACK}: does not exist\nFatal: repository contains errors",
        f"pack {PACK}: unexpected file size: got 1000000, expected 3000356\nFatal: repository contains errors",
    ],
)
def test_damage(words: str) -> None:
    assert PROOF.search(words)
    assert damaged_packs(words) == (PACK,)


def test_a_store_that_breaks_off_is_no_damage() -> None:
    words = (
        "Load(<data/692e5c00ae>, 2097405, 0) returned error, retrying after 7.6s: connection refused\n"
        f"pack {PACK} failed to download: StreamPack: connection refused\nFatal: repository contains errors"
    )
    assert not PROOF.search(words)


def test_each_pack_once_and_no_shortened_ids() -> None:
    words = f"pack {PACK}: does not exist\nLoad(<data/{PACK}>)\n<data/692e5c00ae>\npack {OTHER}: does not exist"
    assert damaged_packs(words) == (PACK, OTHER)
