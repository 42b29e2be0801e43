"""For which servers an addon is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mongo_backup.objects.addon import Addon, AddonSpec, builtin_addon


@pytest.mark.parametrize(
    ("versions", "server", "fits"),
    [
        (">=5.0,<9", "6.0.5", True),
        (">=5.0,<9", "5.0", True),
        (">=5.0,<9", "4.4.29", False),
        (">=5.0,<9", "9.0.0", False),
        (">=5.0, <9", "8.2.1-rc0", True),
        ("<7", "7.0.0", False),
        ("<=7.0", "7.0.0", True),
        ("<=7.0", "7.0.1", False),
        ("==6.0.5", "6.0.5", True),
        (">10", "9.9", False),
    ],
)
def test_versions(versions: str, server: str, fits: bool) -> None:
    assert AddonSpec(versions=versions).fits(server) is fits


@pytest.mark.parametrize("versions", ["", "6", "~=6.0", ">=6.0 <7", ">=six"])
def test_what_is_no_range_is_refused(versions: str) -> None:
    with pytest.raises(ValidationError, match="is no range of versions: write bounds"):
        AddonSpec(versions=versions)


def test_the_builtin_addon_does_every_task_natively() -> None:
    addon: Addon = builtin_addon()
    assert addon.spec.function("backup").engine == "native"
    assert addon.spec.fits("6.0.5")
