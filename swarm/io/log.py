"""Write one JSON line per decision, on standard error.

Every process logs the same way: an event name (`noun.past_verb`), its fields, the part that
speaks and the time. People read the same lines coloured when standard error is a terminal.
"""

import logging
import os
import sys

import structlog


def configure(part: str, *, level: str = "info") -> structlog.stdlib.BoundLogger:
    """Set up structlog for this process and return its logger, bound to `part`."""
    # gRPC's core writes refused handshakes and the like in a format of its own.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(part=part)
    return logger
