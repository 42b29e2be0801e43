from __future__ import annotations

import dataclasses

import bson

from mongo_backup.catalog import CatalogEntry, catalog_digest

ENTRY = CatalogEntry(
    db="shop",
    collection="orders",
    uuid="0" * 32,
    options=bson.encode({"a": 1}),
    indexes=(bson.encode({"name": "_id_"}), bson.encode({"name": "k_1"})),
)
OTHER = CatalogEntry(db="crm", collection="contacts")


def test_the_order_of_entries_and_indexes_does_not_matter() -> None:
    turned = dataclasses.replace(ENTRY, indexes=ENTRY.indexes[::-1])
    assert catalog_digest([ENTRY, OTHER]) == catalog_digest([OTHER, turned])
    assert len(catalog_digest([])) == 64


def test_every_change_shows() -> None:
    changed = [
        dataclasses.replace(ENTRY, db="shops"),
        dataclasses.replace(ENTRY, collection="order"),
        dataclasses.replace(ENTRY, type="view"),
        dataclasses.replace(ENTRY, uuid="1" * 32),
        dataclasses.replace(ENTRY, uuid=None),
        dataclasses.replace(ENTRY, options=bson.encode({"a": 1.0})),
        dataclasses.replace(ENTRY, indexes=ENTRY.indexes[:1]),
        dataclasses.replace(ENTRY, indexes=()),
    ]
    digests = {catalog_digest([entry, OTHER]) for entry in (ENTRY, *changed)} | {catalog_digest([ENTRY])}
    assert len(digests) == len(changed) + 2


def test_capped_is_read_from_the_options() -> None:
    assert CatalogEntry(db="d", collection="c", options=bson.encode({"capped": True})).capped
    assert not ENTRY.capped
