"""Show secrets and configs: as rows, in full and for people.

A secret's data is never here; a config's is shown by `inspect` only.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping

from swarm.api.v1 import control_pb2
from swarm.quantities import format_elapsed
from swarmctl.filters import Test, has_label
from swarmctl.pretty_specs import Line, text
from swarmctl.spec_details import Object, ordered, present
from swarmctl.tables import Listing
from swarmctl.times import rfc3339

View = control_pb2.SecretView | control_pb2.ConfigView

SECRETS = Listing(
    columns=("ID", "Name", "Driver", "CreatedAt", "UpdatedAt"),
    headings={
        "ID": "ID",
        "Name": "NAME",
        "Driver": "DRIVER",
        "CreatedAt": "CREATED",
        "UpdatedAt": "UPDATED",
        "Labels": "LABELS",
        "Version": "VERSION",
    },
)
CONFIGS = Listing(
    columns=("ID", "Name", "CreatedAt", "UpdatedAt"),
    headings={
        "ID": "ID",
        "Name": "NAME",
        "CreatedAt": "CREATED",
        "UpdatedAt": "UPDATED",
        "Labels": "LABELS",
        "Version": "VERSION",
    },
)
CONTENT_TESTS: Mapping[str, Test[View]] = {
    "id": lambda view, text: view.id.startswith(text),
    "name": lambda view, text: view.spec.name.startswith(text),
    "label": lambda view, text: has_label(view.spec.labels, text),
}


def content_rows(views: Iterable[View], *, now: float) -> Iterator[dict[str, str]]:
    """Lines of `secret ls` and `config ls`."""
    for view in views:
        yield {
            "ID": view.id,
            "Name": view.spec.name,
            "Driver": "",
            "CreatedAt": _ago(view.created_at, now),
            "UpdatedAt": _ago(view.updated_at, now),
            "Labels": ",".join(f"{k}={v}" for k, v in sorted(view.spec.labels.items())),
            "Version": str(view.version),
        }


def content_detail(view: View) -> Object:
    """A secret or a config as `inspect` prints it."""
    data = b64encode(view.data).decode() if isinstance(view, control_pb2.ConfigView) else None
    driver = view.spec.template_driver
    return {
        "ID": view.id,
        "Version": {"Index": view.version},
        "CreatedAt": rfc3339(view.created_at),
        "UpdatedAt": rfc3339(view.updated_at),
        "Spec": present(
            Name=view.spec.name,
            Labels=ordered(view.spec.labels),
            Data=data,
            Templating={"Name": driver} if driver else None,
        ),
    }


def pretty_content(view: View) -> str:
    """A secret or a config for people; a config with what is in it."""
    lines: list[Line] = [
        ("ID:", view.id),
        ("Name:", view.spec.name),
        ("Labels:", None),
        *((f" - {key}={value}", None) for key, value in sorted(view.spec.labels.items())),
        ("Template driver:", view.spec.template_driver),
        ("Version:", str(view.version)),
        ("Created at:", rfc3339(view.created_at)),
        ("Updated at:", rfc3339(view.updated_at)),
    ]
    shown = text(lines)
    if isinstance(view, control_pb2.ConfigView):
        data = view.data.decode("utf-8", "replace")
        shown += f"Data:\n{data}" + ("" if data.endswith("\n") else "\n")
    return shown


def _ago(at: float, now: float) -> str:
    said = format_elapsed(now - at)
    return f"{said[0].lower()}{said[1:]} ago"
