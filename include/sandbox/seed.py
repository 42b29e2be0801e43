"""Fill a deployment with a small shop: every kind of collection that a backup must bring back.

The same `random_seed` and `documents` give the same documents (the server chooses the ids of time series buckets).

================== =================== ====================================================================
database           primary shard       collections
================== =================== ====================================================================
shop               shard0              orders (sharded by range, unique key), events (sharded by hash),
                                       customers (validator; unique, text, partial indexes), sessions (TTL),
                                       audit (capped), kinds (every BSON type); views: debtors of customers,
                                       open_orders of orders (sharded: only a mongos can answer it)
crm                shard1 (last)       contacts (collation, multikey index), notes (clustered)
telemetry          shard1 (last)       readings (time series); on request meters (sharded time series)
================== =================== ====================================================================
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo import ASCENDING, DESCENDING, TEXT
from pymongo.database import Database

from sandbox.cluster import CONFIG, ShardedCluster
from sandbox.deployment import Deployment
from sandbox.sharding import BATCH, create_database, insert_routed, move_range, primary_shard, shard_collection
from sandbox.users import User

logger = logging.getLogger(__name__)

Document = dict[str, Any]
EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FAR = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
CITIES = ("Aachen", "Łódź", "København", "São Paulo", "東京", "القاهرة")
ORDERS, EVENTS = "shop.orders", "shop.events"
METERS, METER_BUCKETS = "telemetry.meters", "telemetry.system.buckets.meters"
METER_COUNT = 10
APPLICATION_USER = User("shop-app", "shop p@ss:w/ %?#&'\"")
APPLICATION_ROLE = "shopClerk"


@dataclass(frozen=True)
class Seeded:
    """What was written: documents by namespace, as an application would count them (orphans left out)."""

    counts: dict[str, int]
    orphans: int = 0
    """Documents of `shop.orders` that its former owner still holds."""


def seed(
    deployment: Deployment, *, documents: int = 5000, random_seed: int = 7, sharded_time_series: bool = False
) -> Seeded:
    """Fill an empty deployment with about this many documents, majority committed.

    :param sharded_time_series: in a sharded cluster also `telemetry.meters`, with orphaned buckets; not in the counts.
    :raises pymongo.errors.PyMongoError: a server refused something.
    """
    dice = random.Random(random_seed)
    orders, events, others = documents * 2 // 5, documents * 3 // 10, max(documents // 25, 10)
    counts = {ORDERS: orders, EVENTS: events}
    orphans = 0
    if isinstance(deployment, ShardedCluster):
        orphans = _seed_sharded(deployment, dice, orders=orders, events=events)
        if sharded_time_series:
            _seed_sharded_time_series(deployment, count=documents // 10)
    else:
        database = _database(deployment, "shop")
        database.orders.create_index([("number", ASCENDING)], unique=True)
        _insert(database, "orders", _orders(dice, orders))
        database.events.create_index([("device", "hashed")])
        _insert(database, "events", _events(dice, events))
    counts |= _seed_shop(_database(deployment, "shop"), dice, others)
    counts |= _seed_crm(_database(deployment, "crm"), dice, others)
    counts |= _seed_telemetry(_database(deployment, "telemetry"), dice, documents // 10)
    _create_application_users(deployment)
    deployment.wait_for_replication()
    logger.info("seeded %d documents in %d collections", sum(counts.values()), len(counts))
    return Seeded(counts=counts, orphans=orphans)


def _database(deployment: Deployment, name: str) -> Database[Document]:
    if isinstance(deployment, ShardedCluster):
        return deployment.admin_client(primary_shard(deployment, name))[name]
    return deployment.client()[name]


def _insert(database: Database[Document], collection: str, documents: Iterable[Document]) -> int:
    everything = list(documents)
    for start in range(0, len(everything), BATCH):
        database[collection].insert_many(everything[start : start + BATCH])
    return len(everything)


def _seed_sharded(cluster: ShardedCluster, dice: random.Random, *, orders: int, events: int) -> int:
    first, last = cluster.shard_names[0], cluster.shard_names[-1]
    for name, shard in (("shop", first), ("crm", last), ("telemetry", last)):
        create_database(cluster, name, primary_shard=shard)
    shard_collection(cluster, ORDERS, {"number": 1}, unique=True)
    insert_routed(cluster, ORDERS, _orders(dice, orders), field="number")
    shard_collection(cluster, EVENTS, {"device": "hashed"}, initial_chunks=2 * len(cluster.shard_names))
    insert_routed(cluster, EVENTS, _events(dice, events), field="device", hash_key=True)
    if first == last:
        return 0
    middle = orders // 2
    move_range(cluster, ORDERS, low={"number": middle}, high={"number": MaxKey()}, to_shard=last)
    return orders - middle


def _identifier(collection: int, number: int) -> ObjectId:
    return ObjectId(f"{0x60000000 + number:08x}{collection:08x}{number:08x}")


def _orders(dice: random.Random, count: int) -> Iterator[Document]:
    for number in range(count):
        lines = [
            {
                "sku": f"SKU-{dice.randrange(500):04}",
                "pieces": dice.randint(1, 9),
                "price": Decimal128(f"{dice.randrange(10_000)}.95"),
            }
            for _ in range(dice.randint(1, 4))
        ]
        yield {
            "_id": _identifier(1, number),
            "number": number,
            "customer": dice.randrange(200),
            "state": dice.choice(("open", "paid", "sent")),
            "placed_at": EPOCH + dt.timedelta(seconds=dice.randrange(10_000_000)),
            "lines": lines,
            "ship_to": {"city": dice.choice(CITIES), "zip": None if number % 7 == 0 else f"{number % 99999:05}"},
            "padding": dice.randbytes(48).hex(),
        }


def _events(dice: random.Random, count: int) -> Iterator[Document]:
    for number in range(count):
        yield {
            "_id": _identifier(2, number),
            "device": dice.randrange(1_000_000),
            "at": EPOCH + dt.timedelta(milliseconds=number),
            "payload": Binary(dice.randbytes(32)),
        }


def _seed_shop(shop: Database[Document], dice: random.Random, count: int) -> dict[str, int]:
    shop.create_collection(
        "customers",
        validator={
            "$jsonSchema": {
                "bsonType": "object",
                "required": ["email"],
                "properties": {"email": {"bsonType": "string"}},
            }
        },
        validationLevel="moderate",
        validationAction="error",
    )
    shop.customers.create_index([("email", ASCENDING)], unique=True)
    shop.customers.create_index([("city", ASCENDING), ("since", DESCENDING)], name="by city, newest first")
    shop.customers.create_index(
        [("name", TEXT), ("about", TEXT)], default_language="german", weights={"name": 3, "about": 1}
    )
    shop.customers.create_index([("debt", ASCENDING)], partialFilterExpression={"debt": {"$gt": 0}})
    shop.customers.create_index([("nickname", ASCENDING)], sparse=True, hidden=True)
    shop.create_collection("audit", capped=True, size=1 << 20, max=100_000)
    shop.sessions.create_index([("expires_at", ASCENDING)], expireAfterSeconds=0)
    shop.command("create", "open_orders", viewOn="orders", pipeline=[{"$match": {"state": "open"}}])
    shop.command("create", "debtors", viewOn="customers", pipeline=[{"$match": {"debt": {"$gt": 0}}}])
    return {
        "shop.customers": _insert(
            shop,
            "customers",
            (
                {
                    "_id": number,
                    "email": f"customer{number}@example.org",
                    "name": f"Müller {number}",
                    "about": "kauft gern ein",
                    "city": dice.choice(CITIES),
                    "since": EPOCH - dt.timedelta(days=dice.randrange(3000)),
                    "debt": dice.random() * 100 - 50,
                }
                for number in range(count)
            ),
        ),
        "shop.sessions": _insert(
            shop, "sessions", ({"_id": f"session-{number}", "expires_at": FAR} for number in range(count))
        ),
        "shop.audit": _insert(
            shop, "audit", ({"_id": _identifier(3, number), "line": f"{number} " + "x" * 40} for number in range(count))
        ),
        "shop.kinds": _insert(shop, "kinds", _kinds()),
    }


def _kinds() -> Iterator[Document]:
    numbers: list[Any] = [1, Int64(1), 1.0, float("inf"), -0.0, Decimal128("1.00"), Decimal128("NaN")]
    texts: list[Any] = [
        "text",
        "",
        "a\0b",
        Regex("^a.*z$", "im"),
        Code("function () { return 1; }"),
        Code("x", {"x": 1}),
    ]
    times: list[Any] = [EPOCH, dt.datetime(1950, 5, 5, tzinfo=dt.UTC), Timestamp(7, 3)]
    others: list[Any] = [True, None, MinKey(), MaxKey(), _identifier(9, 9), Binary(b"\x00\xff"), Binary(bytes(16), 4)]
    nested: list[Any] = [
        [],
        {},
        [1, [2, {"three": 3}]],
        {"b": 1, "a": 2},
        {"": "no name"},
        {"$dollar": 1, "dot.ted": 2},
    ]
    values = numbers + texts + times + others + nested
    for number, value in enumerate(values):
        yield {"_id": number, "value": value}
    yield {"_id": {"a": 1, "b": Int64(2)}, "value": "a document as _id"}
    yield {"_id": "large", "value": "x" * 1_000_000}


def _seed_crm(crm: Database[Document], dice: random.Random, count: int) -> dict[str, int]:
    crm.create_collection("contacts", collation={"locale": "de", "strength": 2})
    crm.contacts.create_index([("tags", ASCENDING)])
    crm.contacts.create_index([("place", "2dsphere")])
    crm.command("create", "notes", clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "notes"})
    return {
        "crm.contacts": _insert(
            crm,
            "contacts",
            (
                {
                    "_id": number,
                    "tags": dice.sample(("new", "vip", "late", "abroad"), 2),
                    "place": {"type": "Point", "coordinates": [dice.uniform(-180, 180), dice.uniform(-85, 85)]},
                }
                for number in range(count)
            ),
        ),
        "crm.notes": _insert(crm, "notes", ({"_id": number, "text": f"note {number}"} for number in range(count))),
    }


def _seed_telemetry(telemetry: Database[Document], dice: random.Random, count: int) -> dict[str, int]:
    telemetry.create_collection(
        "readings", timeseries={"timeField": "at", "metaField": "sensor", "granularity": "seconds"}
    )
    rows = (
        {
            "_id": _identifier(4, number),
            "at": EPOCH + dt.timedelta(seconds=number * 10),
            "sensor": {"id": number % 5, "hall": "A"},
            "celsius": round(dice.gauss(20, 3), 2),
        }
        for number in range(count)
    )
    return {"telemetry.readings": _insert(telemetry, "readings", rows)}


def _seed_sharded_time_series(cluster: ShardedCluster, *, count: int) -> None:
    """A sharded time series is its buckets: they are what has chunks, and what moves."""
    shard_collection(cluster, METERS, {"meter": 1}, timeseries={"timeField": "at", "metaField": "meter"})
    rows = (
        {"at": EPOCH + dt.timedelta(seconds=number), "meter": number % METER_COUNT, "kwh": number / 8}
        for number in range(count)
    )
    _insert(_database(cluster, "telemetry"), "meters", rows)
    first = cluster.shard_names[0]
    if first != primary_shard(cluster, "telemetry"):
        move_range(cluster, METER_BUCKETS, low={"meta": METER_COUNT // 2}, high={"meta": MaxKey()}, to_shard=first)


def _create_application_users(deployment: Deployment) -> None:
    """Users of a sharded cluster live on its config server."""
    component = CONFIG if isinstance(deployment, ShardedCluster) else None
    shop = deployment.client(component=component)["shop"]
    privileges = [{"resource": {"db": "shop", "collection": "orders"}, "actions": ["find", "insert", "update"]}]
    shop.command("createRole", APPLICATION_ROLE, privileges=privileges, roles=["read"])
    shop.command(
        "createUser",
        APPLICATION_USER.username,
        pwd=APPLICATION_USER.password,
        roles=[APPLICATION_ROLE, {"role": "read", "db": "crm"}],
        customData={"team": "shop"},
    )
