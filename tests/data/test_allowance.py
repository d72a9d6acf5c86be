import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from spice_cli.data.allowance import Allowance


def test_threads_together_hold_no_more_than_there_is() -> None:
    allowance, seen, lock, held = Allowance(10), [], threading.Lock(), [0]

    def work(size: int) -> None:
        with allowance.of(size):
            with lock:
                held[0] += size
                seen.append(held[0])
            with lock:
                held[0] -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [1, 4, 10, 3, 7, 6] * 30))
    assert len(seen) == 180
    assert max(seen) <= 10
    assert allowance.taken == 0


def test_what_never_fits_is_refused_and_what_fails_is_given_back() -> None:
    allowance = Allowance(10)
    with pytest.raises(ValueError, match="are needed"), allowance.of(11):
        pass
    with pytest.raises(KeyError), allowance.of(10):
        raise KeyError
    assert allowance.taken == 0
