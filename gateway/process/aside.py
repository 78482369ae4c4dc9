"""Long work in a thread beside the loop: it hands the interpreter over every half millisecond, and the collector works
in small steps.

CPython's own interval of 5 ms would be added to each turn of the loop; and one collection of what a large
configuration allocates takes as long as ten thousand requests.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from typing import Final

SWITCH_INTERVAL: Final = 0.0005
# New objects between two collections of only those; 2,000 are walked in 0.1 ms.
YOUNG: Final = 2_000
# Collections of more than the youngest wait until the work is done.
NEVER: Final = 1_000_000


@contextlib.contextmanager
def small_steps() -> Iterator[None]:
    """Within it nothing is to hold the loop for long. What is alive at its end stays: the collector looks at it no
    more. Not to be entered twice at a time."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    # What the work before left. Only what has come since the last freeze is walked.
    gc.collect()
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(YOUNG, NEVER, NEVER)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)
