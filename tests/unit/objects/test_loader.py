"""Objects from YAML: what is good is loaded, what is wrong is named by file, line, field, value and advice."""

from __future__ import annotations

import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.loader import load_directory, load_file
from mongo_backup.objects.object_set import ObjectSet

STORAGE = """
apiVersion: mongo-backup/v1
kind: BackupStorage
metadata: {name: s3}
spec: {provider: s3, bucket: backups, endpoint: "http://store:9000", credentials: {connection: s3}}
"""
BINDING = """
apiVersion: mongo-backup/v1
kind: AppBinding
metadata: {name: shop}
spec:
  topology: replica_set
  replica_set: {replica_set: rs0, hosts: ["db1:27017", "db2:27017"]}
  credentials: {connection: shop}
"""
POLICY = """
apiVersion: mongo-backup/v1
kind: RetentionPolicy
metadata: {name: month}
spec: {daily: 30, within: 2d}
"""
CONFIGURATION = """
apiVersion: mongo-backup/v1
kind: BackupConfiguration
metadata: {name: shop}
spec:
  target: {name: shop}
  storage: {name: s3}
  encryption: {connection: shop_repository}
  sessions:
    - name: daily
      schedule: "0 2 * * *"
      backup_timeout: 1h30m
      retention_policy: {name: month}
    - name: hourly
      consistency: snapshot
"""
ALL = "---".join((STORAGE, BINDING, POLICY, CONFIGURATION))


def load(folder: Path, **files: str) -> ObjectSet:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(textwrap.dedent(text))
    return load_directory(folder)


def messages(objects: ObjectSet) -> list[str]:
    return [str(error) for errors in objects.errors.values() for error in errors]


def test_everything_of_a_file_is_loaded_and_resolved(tmp_path: Path) -> None:
    objects = load(tmp_path, shop=ALL)
    assert objects.error_text() == ""
    assert [c.name for c in objects.configurations()] == ["shop"]
    resolved = objects.resolve("shop", "daily")
    assert resolved.target.spec.replica_set is not None
    assert resolved.target.spec.replica_set.hosts == ("db1:27017", "db2:27017")
    assert resolved.storage.name == "s3"
    assert resolved.addon.name == "mongodb"
    assert resolved.retention is not None
    assert resolved.retention.spec.within == timedelta(days=2)
    assert resolved.configuration.session("daily").backup_timeout == timedelta(minutes=90)
    assert objects.resolve("shop", "hourly").retention is None
    assert objects.resolve("shop").retention is None
    assert objects.file_of("BackupConfiguration", "shop") == "shop.yaml"


def test_objects_may_be_spread_over_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "stores").mkdir()
    (tmp_path / "stores" / "s3.yml").write_text(STORAGE)
    (tmp_path / ".hidden.yaml").write_text("not: [closed")
    (tmp_path / "notes.txt").write_text("not: [closed")
    objects = load(tmp_path, a=CONFIGURATION, b=BINDING + "---" + POLICY)
    assert objects.error_text() == ""
    assert objects.resolve("shop", "daily").storage.name == "s3"


def test_load_file_reads_one(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(ALL)
    assert load_file(tmp_path / "shop.yaml").error_text() == ""
    with pytest.raises(ConfigurationError, match="no file"):
        load_file(tmp_path / "other.yaml")
    with pytest.raises(ConfigurationError, match="no folder"):
        load_directory(tmp_path / "other")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "consistency: snapshot",
            "consistency: lockd",
            "shop.yaml:33: spec.sessions[1].consistency: 'lockd' is not allowed; "
            "write one of: locked, snapshot (did you mean locked?)",
        ),
        (
            "consistency: snapshot",
            "consistency: none",
            "shop.yaml:33: spec.sessions[1].consistency: 'none' is not allowed; write one of: locked, snapshot",
        ),
        (
            "backup_timeout: 1h30m",
            "backup_timeout: 90",
            "shop.yaml:30: spec.sessions[0].backup_timeout: '90' is no duration: "
            "write a number and a unit, such as 90s, 15m, 6h or 1h30m",
        ),
        (
            "backup_timeout: 1h30m",
            "backupTimeout: 1h",
            "shop.yaml:30: spec.sessions[0].backupTimeout: is no field here; did you mean `backup_timeout`?",
        ),
        (
            "  encryption: {connection: shop_repository}\n",
            "",
            "shop.yaml:23: spec.encryption: is missing; write `encryption: {connection: <id of an Airflow",
        ),
        (
            "  target: {name: shop}",
            "  target: shop",
            "shop.yaml:24: spec.target: 'shop' is no reference; write `target: {name: shop}`",
        ),
        (
            "bucket: backups, ",
            "",
            "shop.yaml:5: spec.bucket: is missing; write `bucket: ...`",
        ),
        (
            "provider: s3",
            "provider: s4",
            "shop.yaml:5: spec: provider 's4' is not allowed; "
            "write one of: s3, gcs, azure, local, sftp, rest, b2, rclone",
        ),
        ("provider: s3, ", "", "shop.yaml:5: spec: needs `provider`; write one of: s3, gcs, azure,"),
        (
            "topology: replica_set",
            "topology: replicaset",
            "shop.yaml:11: spec.topology: 'replicaset' is not allowed; "
            "write one of: standalone, replica_set, sharded (did you mean replica_set?)",
        ),
        (
            "topology: replica_set",
            "topology: sharded",
            "shop.yaml:10: spec: topology sharded needs config_server, shards",
        ),
        (
            '"db2:27017"',
            "db2",
            "shop.yaml:12: spec.replica_set.hosts[1]: 'db2' is not allowed; "
            "write host:port, such as db1.example.net:27017",
        ),
        (
            '["db1:27017", "db2:27017"]',
            '"db1:27017"',
            "shop.yaml:12: spec.replica_set.hosts: 'db1:27017' is of the wrong type; write a list:",
        ),
        ('["db1:27017", "db2:27017"]', "[]", "shop.yaml:12: spec.replica_set.hosts: is an empty list; write at least"),
        (
            "metadata: {name: month}",
            "metadata: {name: Month}",
            "shop.yaml:17: metadata.name: 'Month' is not allowed; write small letters, digits,",
        ),
        (
            "metadata: {name: month}",
            "metadata: {name: 2024}",
            "shop.yaml:17: metadata.name: 2024 is no text; put it in quotes: '2024'",
        ),
        ("daily: 30", "daily: -1", "shop.yaml:18: spec.daily: -1 is out of range; write at least 0"),
        ("daily: 30", "daily: many", "shop.yaml:18: spec.daily: 'many' is of the wrong type; write a whole number"),
        ("daily: 30, within: 2d", "", "shop.yaml:18: spec: a policy that keeps nothing is a mistake"),
        (
            "kind: RetentionPolicy",
            "kind: RetentionPolice",
            "shop.yaml:16: kind: 'RetentionPolice' is not allowed; write one of: BackupStorage, AppBinding, Addon, "
            "RetentionPolicy, BackupConfiguration (did you mean RetentionPolicy?)",
        ),
        ("kind: RetentionPolicy\n", "", "shop.yaml:15: kind: is missing; write `kind: ...` with one of:"),
        (
            "apiVersion: mongo-backup/v1\nkind: RetentionPolicy",
            "apiVersion: v1\nkind: RetentionPolicy",
            "shop.yaml:15: apiVersion: 'v1' is not allowed; write mongo-backup/v1",
        ),
        (
            "  encryption:",
            '  schedule: "0 2 * * *"\n  encryption:',
            "shop.yaml:26: spec.schedule: is no field here; it belongs to `spec.maintenance` or "
            "`spec.sessions[].copies[].maintenance` or `spec.sessions[]`",
        ),
        (
            'schedule: "0 2 * * *"',
            'schedule: "0 2 * *"',
            "shop.yaml:29: spec.sessions[0].schedule: '0 2 * *' is no schedule",
        ),
        (
            'schedule: "0 2 * * *"',
            'schedule: "0 25 * * *"',
            "shop.yaml:29: spec.sessions[0].schedule: '0 25 * * *' is no schedule",
        ),
        (
            "consistency: snapshot",
            "include: [shop.orders, audit]",
            "shop.yaml:33: spec.sessions[1].include[1]: namespace pattern 'audit' is not of the form "
            "database.collection: write 'audit.*' for a whole database",
        ),
        (
            "consistency: snapshot",
            "timezone: Europe/Belin",
            "shop.yaml:33: spec.sessions[1].timezone: 'Europe/Belin' is no time zone; write a name such as UTC or "
            "Europe/Berlin (did you mean Europe/Berlin?)",
        ),
        (
            "consistency: snapshot",
            "{consistency: snapshot",
            "shop.yaml:33: is no valid YAML:",
        ),
        (
            "- name: hourly",
            "- name: daily",
            "shop.yaml:23: spec: two sessions are named daily: each needs a name of its own",
        ),
        (
            "consistency: snapshot",
            "consistency: snapshot\n      engine: mongodump",
            "shop.yaml:33: spec.sessions[1].consistency: the engine mongodump cannot read at a snapshot; "
            "write `consistency: locked` or `engine: native`",
        ),
        (
            "encryption: {connection: shop_repository}",
            "encryption: {secret: {name: shop-repository}}",
            "shop.yaml:26: spec.encryption: this names a Kubernetes Secret, which only pods read, "
            "but `spec.execution.runner` is local;",
        ),
        (
            "consistency: snapshot",
            "consistency: snapshot\n      consistency: locked",
            "shop.yaml:34: spec.sessions[1].consistency: is written twice, first on line 33; remove one of the two",
        ),
        (
            "consistency: snapshot",
            "consistency: !!python/name:os.system x",
            "shop.yaml:33: spec.sessions[1].consistency: has the tag !!python/name:os.system; tags are not allowed",
        ),
    ],
)
def test_an_error_says_where_and_what_to_write(tmp_path: Path, before: str, after: str, expected: str) -> None:
    assert before in ALL
    found = messages(load(tmp_path, shop=ALL.replace(before, after)))
    assert [text for text in found if text.startswith(expected)], "\n".join(found)


def test_all_errors_of_an_object_come_at_once(tmp_path: Path) -> None:
    broken = CONFIGURATION.replace("daily\n", "Daily\n").replace("snapshot", "lockd").replace("1h30m", "6")
    objects = load(tmp_path, shop="---".join((STORAGE, BINDING, POLICY, broken)))
    assert len(messages(objects)) == 3
    assert objects.error_text().count("its DAGs are missing") == 1


def test_a_bad_document_takes_away_itself_and_what_needs_it(tmp_path: Path) -> None:
    other = CONFIGURATION.replace("metadata: {name: shop}", "metadata: {name: other}")
    bad_policy = POLICY.replace("month", "year").replace("30", "lots")
    needs_it = CONFIGURATION.replace("metadata: {name: shop}", "metadata: {name: needy}").replace("month", "year")
    objects = load(tmp_path, shop=ALL, other=other, bad=bad_policy, needy=needs_it, syntax="a: [1\n---\n" + STORAGE)
    assert [c.name for c in objects.configurations()] == []  # `s3` is there twice: nobody can say which is meant
    (tmp_path / "syntax.yaml").write_text("a: [1\n---\n" + POLICY.replace("month", "week"))
    objects = load_directory(tmp_path)
    assert [c.name for c in objects.configurations()] == ["other", "shop"]
    assert sorted(objects.retention_policies) == ["month", "week"]  # what follows a broken document is not lost
    assert sorted(objects.errors) == ["bad.yaml", "needy.yaml", "syntax.yaml"]
    assert str(objects.errors["needy.yaml"][0]) == (
        "needy.yaml:13: spec.sessions[0].retention_policy.name: RetentionPolicy 'year' has errors itself; "
        "put bad.yaml:5 right first"
    )
    with pytest.raises(ConfigurationError, match=r"needy.yaml:13: .*put bad.yaml:5 right first"):
        objects.resolve("needy", "daily")


def test_unknown_names_say_which_exist(tmp_path: Path) -> None:
    objects = load(tmp_path, shop=ALL.replace("target: {name: shop}", "target: {name: shpo}"))
    assert messages(objects) == [
        "shop.yaml:24: spec.target.name: there is no AppBinding 'shpo'; these exist: shop (did you mean shop?)"
    ]
    objects = load(tmp_path, shop=ALL)
    with pytest.raises(ConfigurationError, match=r"no BackupConfiguration 'shopp'; these exist: shop \(did you mean"):
        objects.resolve("shopp", "daily")
    with pytest.raises(ConfigurationError, match="no session 'weekly'; these exist: daily, hourly"):
        objects.resolve("shop", "weekly")


def test_a_missing_object_hints_at_files_that_could_not_be_read(tmp_path: Path) -> None:
    objects = load(tmp_path, shop="---".join((STORAGE, POLICY, CONFIGURATION)), binding="{" + BINDING)
    text = "there is no AppBinding 'shop'; none exists yet: write one (not all could be read: see the errors of binding"
    assert any(text in message for message in messages(objects))


def test_duplicates_name_each_other_and_neither_is_used(tmp_path: Path) -> None:
    objects = load(tmp_path, shop=ALL, copy=POLICY)
    assert str(objects.errors["copy.yaml"][0]) == (
        "copy.yaml:4: metadata.name: 'month' is also the name of the RetentionPolicy in shop.yaml:17; "
        "rename or remove one"
    )
    assert not objects.retention_policies
    assert not objects.configurations()


def test_two_configurations_may_not_share_a_repository(tmp_path: Path) -> None:
    second = CONFIGURATION.replace("metadata: {name: shop}", "metadata: {name: second}")
    shared = second.replace("  sessions:", "  repository: shop\n  sessions:")
    objects = load(tmp_path, shop=ALL, second=shared)
    assert [c.name for c in objects.configurations()] == ["shop"]
    assert "BackupConfiguration 'shop' uses 'shop' in the same storage" in objects.error_text()


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    text = ALL.replace("- name: daily", "- &base\n      name: daily").replace(
        "- name: hourly", "- <<: *base\n      name: hourly"
    )
    objects = load(tmp_path, shop=text)
    assert objects.error_text() == ""
    hourly = objects.configuration("shop").session("hourly")
    assert (hourly.schedule, hourly.consistency) == ("0 2 * * *", "snapshot")


def test_an_error_in_merged_fields_points_to_where_they_are_written(tmp_path: Path) -> None:
    text = ALL.replace("- name: daily", "- &base\n      name: daily").replace(
        "- name: hourly", "- <<: *base\n      name: hourly"
    )
    found = messages(load(tmp_path, shop=text.replace("1h30m", "90")))
    assert [message.split(": ")[:2] for message in found] == [
        ["shop.yaml:31", "spec.sessions[0].backup_timeout"],
        ["shop.yaml:31", "spec.sessions[1].backup_timeout"],
    ]


def test_words_mean_what_they_look_like(tmp_path: Path) -> None:
    """No surprise of YAML 1.1: `no` is a name, a date is text."""
    text = ALL.replace("metadata: {name: shop}", "metadata: {name: shop, labels: {land: no, since: 2024-01-31}}")
    objects = load(tmp_path, shop=text)
    assert objects.error_text() == ""
    assert objects.app_bindings["shop"].metadata.labels == {"land": "no", "since": "2024-01-31"}


def test_hostile_yaml_ends_quickly(tmp_path: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n"
        for before, after in zip("abcdefgh", "bcdefghi", strict=True)
    )
    objects = load(tmp_path, bomb=bomb, loop="a: &a [*a]", deep="[" * 5000)
    assert "more than 50000 values" in str(objects.errors["bomb.yaml"][0])
    assert "alias for something that it stands in" in str(objects.errors["loop.yaml"][0])
    assert "no valid YAML" in str(objects.errors["deep.yaml"][0])


def test_unreadable_files_are_errors_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: f\xfcnf")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    objects = load(tmp_path, shop=ALL, empty="", comments="# nothing\n---\n# nothing\n")
    assert sorted(objects.errors) == ["gone.yaml", "latin.yaml"]
    assert [c.name for c in objects.configurations()] == ["shop"]


def test_two_hundred_configurations_load_in_a_moment(tmp_path: Path) -> None:
    import time

    for number in range(200):
        text = (BINDING + "---" + CONFIGURATION).replace("name: shop", f"name: shop{number}")
        (tmp_path / f"shop{number}.yaml").write_text(text)
    (tmp_path / "base.yaml").write_text(STORAGE + "---" + POLICY)
    started = time.process_time()
    objects = load_directory(tmp_path)
    assert len(objects.configurations()) == 200
    assert time.process_time() - started < 1  # 0.1 s measured; a DAG file's own limit is 30 s, a task's parse 0.2 s


def test_a_verification_that_cannot_be(tmp_path: Path) -> None:
    wrong = "  verification: {session: weekly, image: 'mongo:6.0.5', timezone: Europe/Berln}\n"
    errors = load(tmp_path, all=ALL.rstrip() + "\n" + wrong).error_text()
    assert "there is no session 'weekly'; write one of: daily, hourly" in errors
    assert "an image needs pods" in errors
    assert "did you mean Europe/Berlin?" in errors


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("{name: x, namespace: shop.orders}", "expects nothing"),
        ("{name: x, namespace: shop.orders, filter: {}, pipeline: [], count: 1}", "either `filter` or `pipeline`"),
        ("{name: x, namespace: shop, count: 1}", "namespace"),
    ],
)
def test_a_check_that_cannot_be(tmp_path: Path, check: str, words: str) -> None:
    wrong = f"  verification: {{checks: [{check}]}}\n"
    assert words in load(tmp_path, all=ALL.rstrip() + "\n" + wrong).error_text()
