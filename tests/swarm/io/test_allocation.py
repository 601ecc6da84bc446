"""What collections look at."""

import gc

from swarm.io.allocation import importing


def test_what_was_imported_is_never_collected_and_all_else_is() -> None:
    before = gc.get_freeze_count()
    try:
        with importing():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
