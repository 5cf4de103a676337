"""A process apart may end, be killed and be closed at once, by several threads: each is told in words."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from apart_packing import ready
from ropeway_shardgen.apart import Apart, Ended
from ropeway_shardgen.reading import Limit


def test_whoever_calls_while_others_close_is_told_that_it_has_ended() -> None:
    for _ in range(5):
        apart, together = Apart(None), Barrier(3)
        apart.start()

        def call(apart: Apart = apart, together: Barrier = together) -> None:
            together.wait()
            while True:
                apart.call(Limit(), ready, told=lambda: None)

        def close(apart: Apart = apart, together: Barrier = together) -> None:
            together.wait()
            apart.close()

        with ThreadPoolExecutor(3) as threads:
            calling, *closing = [threads.submit(one) for one in (call, close, close)]
            with pytest.raises(Ended):
                calling.result()
            for one in closing:
                one.result()
