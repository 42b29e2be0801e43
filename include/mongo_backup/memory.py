"""Memory of a process that moves large documents with several threads."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE_BYTES = 4 << 20
_KEPT_BYTES = 32 << 20


def return_large_pieces() -> None:
    """Give memory of 4 MB and more back to the system as soon as it is freed (mallopt(3), `M_MMAP_THRESHOLD`).

    Left alone, glibc keeps freed pieces of up to 32 MB in an arena of each thread: a restore of documents of 16 MB by
    eight threads took 320 MB that way, and takes 100 MB with this. Elsewhere than on glibc it does nothing.

    Setting one limit keeps glibc from adapting the other, `M_TRIM_THRESHOLD` for free memory at the heap's end: at its
    128 kB each batch would have its memory fetched from the system anew, a quarter of a restore's processor time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
