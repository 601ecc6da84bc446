"""What a seccomp agent is told."""

import json

from runtime.seccomp.listening import process_state


def test_the_descriptor_is_named_and_the_container_is_being_created() -> None:
    state = json.dumps({"ociVersion": "1.0.2", "id": "c1", "bundle": "/b", "status": "created"})

    told = json.loads(process_state(state, pid=77, metadata="for you"))

    assert told == {
        "ociVersion": "1.2.1",
        "fds": ["seccompFd"],
        "pid": 77,
        "metadata": "for you",
        "state": {
            "ociVersion": "1.0.2", "id": "c1", "bundle": "/b", "status": "creating", "pid": 77,
        },
    }  # fmt: skip


def test_no_metadata_is_told_by_its_absence() -> None:
    assert "metadata" not in json.loads(process_state(b"{}", pid=1, metadata=""))
