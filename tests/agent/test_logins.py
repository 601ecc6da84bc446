from agent.logins import login_for, refused
from swarm.dispatch import Content
from swarm.ids import ServiceId, TaskId
from swarm.images.credentials import Credentials, Unrecognized
from swarm.images.logins import pack_logins
from swarm.objects import Task

ME = Credentials("me", "swordfish")


def test_a_login_is_shown_to_no_other_registry() -> None:
    content = Content(id="s", version=1, data=pack_logins({"r:5000": ME, "docker.io": ME}))

    assert login_for("r:5000/app:1@sha256:" + "ab" * 32, content) == ME
    assert login_for("busybox", content) == ME
    assert login_for("other:5000/app:1", content) is None
    assert login_for("r/app", content) == ME  # which is docker.io/r/app
    assert login_for("ghcr.io/r:5000", content) is None


def test_the_reason_names_what_to_do_and_no_password() -> None:
    task = Task(id=TaskId("t"), service_id=ServiceId("s"), service_name="web")
    err = Unrecognized("registry r:5000 wants a user and a password for app")

    without, stale = refused(err, task, None), refused(err, task, ME)

    assert without.message == (
        "registry r:5000 wants a user and a password for app; service web has no login for it: "
        "swarmctl service update --with-registry-auth web"
    )
    assert "its login does not do" in stale.message
    assert "swordfish" not in stale.message
