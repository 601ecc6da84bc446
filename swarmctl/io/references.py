"""Look up the secrets and configs that flags name."""

from collections.abc import Sequence

from swarm.specs import FileReference
from swarmctl.edits import read_all
from swarmctl.io.session import Session
from swarmctl.references import parse_reference, with_ids


def secrets(session: Session, flag: str, texts: Sequence[str]) -> tuple[FileReference, ...]:
    """What `--secret` refers to; nothing is asked where nothing is named."""
    wanted = read_all(flag, parse_reference, texts)
    if not wanted:
        return ()
    ids = {view.spec.name: view.id for view in session.control.secrets()}
    return with_ids(flag, wanted, ids, kind="secret")


def configs(session: Session, flag: str, texts: Sequence[str]) -> tuple[FileReference, ...]:
    """What `--config` refers to."""
    wanted = read_all(flag, parse_reference, texts)
    if not wanted:
        return ()
    ids = {view.spec.name: view.id for view in session.control.configs()}
    return with_ids(flag, wanted, ids, kind="config")
