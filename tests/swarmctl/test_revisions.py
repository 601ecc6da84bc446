from swarm.ids import ServiceId
from swarm.objects import Revision
from swarm.specs import ContainerSpec, Replicated, ServiceSpec, TaskSpec
from swarmctl.revisions import REVISIONS, revision_rows
from swarmctl.tables import listed

NOW = 1_000_000.0


def revision(number: int, image: str, replicas: int, cause: str) -> Revision:
    return Revision(
        service_id=ServiceId("s"),
        number=number,
        spec=ServiceSpec(
            name="web",
            mode=Replicated(replicas=replicas),
            task=TaskSpec(container=ContainerSpec(image=image)),
        ),
        spec_version=number,
        at=NOW - 60 * (4 - number),
        cause=cause,
    )


HISTORY = [
    revision(3, "web:2", 5, "scale"),
    revision(2, "web:2", 2, "update"),
    revision(1, "web:1", 2, "create"),
]


def test_a_history_tells_what_each_change_changed() -> None:
    lines = listed(revision_rows(HISTORY, now=NOW), REVISIONS).splitlines()

    assert [" ".join(line.split()) for line in lines] == [
        "REVISION VERSION CHANGED CAUSE CHANGES",
        "3 3 about a minute ago scale replicas 2 to 5",
        "2 2 2 minutes ago update image web:1 to web:2",
        "1 1 3 minutes ago create",
    ]


def test_a_service_whose_history_is_gone_has_none() -> None:
    assert revision_rows([], now=NOW) == []


def test_what_is_too_long_for_a_table_is_cut_unless_all_is_asked_for() -> None:
    long = [revision(2, "registry.example/" + "x" * 80, 2, "update"), HISTORY[2]]

    (cut, _), (whole, _) = (revision_rows(long, now=NOW, full=full) for full in (False, True))

    assert len(cut["Changes"]) == 60
    assert cut["Changes"].endswith("…")
    assert "x" * 80 in whole["Changes"]


def test_images_are_told_apart_by_their_tags_or_else_by_short_digests() -> None:
    digests = [f"@sha256:{digit * 64}" for digit in "ab"]
    tagged = [
        revision(2, f"web:2{digests[1]}", 2, "update"),
        revision(1, f"web:1{digests[0]}", 2, ""),
    ]
    pulled = [revision(2, f"web:1{digests[1]}", 2, "update"), tagged[1]]

    shown = [revision_rows(each, now=NOW)[0]["Changes"] for each in (tagged, pulled)]
    whole = revision_rows(tagged, now=NOW, full=True)[0]["Changes"]

    assert shown == [
        "image web:1 to web:2",
        f"image web:1@sha256:{'a' * 12} to web:1@sha256:{'b' * 12}",
    ]
    assert whole == f"image web:1{digests[0]} to web:2{digests[1]}"
