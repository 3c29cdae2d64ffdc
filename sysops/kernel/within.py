"""Work that is waited for so long and no longer, whatever it waits for itself."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T], *, name: str) -> T:
    """What `work` returns. Raises TimeoutError when it takes longer; nobody waits for its thread (`name`) then.

    A library's time-out is mostly one per read: a server that says a word every few seconds never meets it.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
            done.set_exception(exc)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done.result(seconds)
