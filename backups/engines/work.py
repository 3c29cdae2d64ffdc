"""One piece of an engine's work: its deadline, its cancellation, and the tools it runs."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from backups.engines.base import Cancelled, Control, EngineError, Progress, Tools
from sysops.kernel import process
from sysops.kernel.redaction import redact

Explain = Callable[[process.Result], EngineError]


class Work:
    """Runs tools under one deadline and turns how they end into EngineErrors."""

    def __init__(self, *, control: Control, tools: Tools, secrets: Sequence[str] = ()) -> None:
        self.control = control
        self.tools = tools
        self.secrets = tuple(secrets)
        self._deadline = time.monotonic() + control.time_limit_seconds
        self._last = Progress("starting")

    def left(self) -> float:
        """Seconds left. Raises when the work was cancelled or its time is over."""
        if self.control.cancelled():
            raise Cancelled
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise self.timed_out()
        return seconds

    def say(self, phase: str, done: int | None = None, total: int | None = None) -> None:
        """Tell how far the work is."""
        self._last = Progress(phase, done, total)
        self.control.progress(self._last)

    def say_again(self) -> None:
        """Tell the same once more: a sign of life while a tool works silently."""
        self.control.progress(self._last)

    def clean(self, text: object) -> str:
        """Text without the secrets this work knows of."""
        return redact(str(text), self.secrets)

    def timed_out(self) -> EngineError:
        limit = self.control.time_limit_seconds
        return EngineError(f"It took longer than its time limit of {limit} s and was ended", code="timed_out")

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        explain: Explain | None = None,
        env: Mapping[str, str] | None = None,
        as_server_user: bool = False,
        stdin: Path | None = None,
        stdout: Path | None = None,
        on_line: Callable[[process.Stream, str], None] | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> process.Result:
        """Run a tool to its end. With `explain` an exit code other than 0 raises what it makes of it.

        Without, the caller looks at the code.
        """
        try:
            result = process.run(
                argv,
                time_limit=self.left(),
                env=env,
                run_as=self.tools.os_user if as_server_user else None,
                stdin=stdin,
                stdout=stdout,
                on_line=on_line,
                on_tick=on_tick or self.say_again,
                cancelled=self.control.cancelled,
                secrets=self.secrets,
                check=False,
            )
        except process.ProcessCancelled:
            raise Cancelled from None
        except process.ProcessTimedOut:
            raise self.timed_out() from None
        except process.ToolMissing as exc:
            raise EngineError(str(exc), code="tool_missing", permanent=True) from exc
        if result.returncode != 0 and explain:
            raise explain(result)
        return result
