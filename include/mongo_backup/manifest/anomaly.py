"""Whether a set differs wildly from those before it: a pure function over figures that manifests carry on.

Every manifest has the figures of the sets before it, so that one manifest alone has to be read. Median and median
absolute deviation do not mind a few odd sets among them (https://en.wikipedia.org/wiki/Median_absolute_deviation).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from mongo_backup.manifest.model import Manifest, SetFigures
from mongo_backup.objects.anomaly import AnomalySettings

_LIKE_STANDARD_DEVIATION = 1.4826
"""A normal distribution's standard deviation in median absolute deviations."""
_SHOWN = 5


def figures_of(manifest: Manifest) -> SetFigures:
    """What later sets remember of a set."""
    return SetFigures(
        set_id=manifest.set_id,
        documents=manifest.documents,
        bytes=manifest.bytes,
        namespaces=len(_documents_by_namespace(manifest)),
    )


def judged(manifest: Manifest, before: Manifest | None, settings: AnomalySettings) -> Manifest:
    """Return the manifest with the figures of the sets before it, and with what makes it suspicious.

    :param before: the newest complete set of the same session; None: there is none.
    """
    if before is None or not _comparable(manifest, before):
        return manifest
    history = (*before.history, figures_of(before))[-settings.predecessors :]
    reasons: tuple[str, ...] = ()
    if settings.enabled and len(history) >= settings.at_least:
        reasons = (*_far(manifest, history, settings), *_vanished(manifest, before, settings))
    return manifest.model_copy(update={"history": history, "suspicious": reasons})


def _comparable(manifest: Manifest, before: Manifest) -> bool:
    """Another selection or topology makes another kind of set: then the figures begin anew."""
    return (manifest.include, manifest.exclude, manifest.topology) == (before.include, before.exclude, before.topology)


def _far(manifest: Manifest, history: Sequence[SetFigures], settings: AnomalySettings) -> Iterator[str]:
    for what in ("documents", "bytes"):
        values = [float(getattr(each, what)) for each in history]
        now, usual = float(getattr(manifest, what)), median(values)
        usual_distance = median(abs(value - usual) for value in values) * _LIKE_STANDARD_DEVIATION
        least = usual * (settings.smaller if now < usual else settings.larger)
        distance = abs(now - usual)
        if usual and distance >= least and distance > settings.deviations * usual_distance:
            yield f"{now:.0f} {what}; the median of the {len(values)} sets before is {usual:.0f}"


def _vanished(manifest: Manifest, before: Manifest, settings: AnomalySettings) -> Iterator[str]:
    then, now = +_documents_by_namespace(before), _documents_by_namespace(manifest)
    gone = sorted((name for name in then if not now.get(name)), key=lambda name: (-then[name], name))
    if not gone:
        return
    of_namespaces = len(gone) / len(then)
    of_documents = sum(then[name] for name in gone) / then.total()
    if max(of_namespaces, of_documents) >= settings.vanished:
        more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
        names = ", ".join(f"{name} ({then[name]} documents)" for name in gone[:_SHOWN])
        yield f"gone or empty since set {before.set_id}: {names}{more}"


def _documents_by_namespace(manifest: Manifest) -> Counter[str]:
    """Documents of all components by namespace, those of the server's own bookkeeping left out."""
    found: Counter[str] = Counter()
    for component in manifest.components:
        for record in component.namespaces:
            if record.db != "config":
                found[record.namespace] += record.documents
    return found
