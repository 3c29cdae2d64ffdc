"""Structured logging: one shape for Django, Celery and our own lines, secrets taken out in one place."""

from collections.abc import MutableMapping

import structlog

from sysops.kernel.redaction import redact


def _redacted(_: object, __: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    return {key: redact(value) if isinstance(value, str) else value for key, value in event.items()}


_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _redacted,
]


def logging_config(*, level: str, form: str) -> dict[str, object]:
    """`logging.config.dictConfig` input; also sets structlog up. `form` is console or json."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [structlog.stdlib.ExtraAdder(), *_SHARED],
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
            }
        },
        "handlers": {
            "out": {"class": "logging.StreamHandler", "formatter": "line"},
            "report": {"class": "sysops.own_errors.ReportHandler"},
        },
        "root": {"handlers": ["out", "report"], "level": level},
        "loggers": {
            "django.server": {"handlers": ["out"], "level": level, "propagate": False},
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "INFO"},
            "urllib3": {"level": "INFO"},  # at DEBUG it logs paths, and chat services have tokens in them
        },
    }
