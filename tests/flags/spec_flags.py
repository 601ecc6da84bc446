"""Flags of create and update that take a story of their own; `plan` has most of them too."""

import json

from swarm.api.v1 import control_pb2 as pb
from swarm.specs import Global, ReplicatedJob
from tests.flags import stories
from tests.flags.asking import prints, waiting
from tests.flags.lab import ID, Lab, kernel
from tests.flags.table import KERNEL, PLAN, REQUEST, Proof, Row, refused

BUSY = "busybox"
IN_REGISTRY = "reg.example:5000/app"


# -- service create ------------------------------------------------------------------------


def _mode(lab: Lab, _: str) -> None:
    assert isinstance(lab.created("--mode", "global").mode, Global)
    assert stories.each_node(lab.created("--mode", "global")) == {"a": 1, "b": 1, "c": 1}
    assert len(stories.each_node(lab.created())) == 1
    assert isinstance(lab.created("--schedule", "@daily").mode, ReplicatedJob)


def _name(lab: Lab, _: str) -> None:
    assert stories.task_name(lab.created("--name", "api")) == {"api"}
    assert stories.task_name(lab.created()) == {"web"}


def _env_file(lab: Lab, _: str) -> None:
    file = lab.file("env", "FROM_FILE=1\nBOTH=file\n")
    env = kernel(lab.created("--env-file", file, "-e", "BOTH=flag")).env
    assert (env["FROM_FILE"], env["BOTH"]) == ("1", "flag")
    assert "FROM_FILE" not in kernel(lab.created()).env


def _with_auth(lab: Lab, _: str) -> None:
    """The login of the registry goes to the manager, and is no part of the spec."""
    lab.file("config.json", json.dumps({"auths": {"reg.example:5000": {"auth": "dTpw"}}}))
    lab.created("--with-registry-auth", image=IN_REGISTRY)
    assert lab.sent(pb.CreateServiceRequest).registry_auth
    lab.created(image=IN_REGISTRY)
    assert not lab.sent(pb.CreateServiceRequest).registry_auth


def _with_auth_on_update(lab: Lab, _: str) -> None:
    lab.file("config.json", json.dumps({"auths": {"reg.example:5000": {"auth": "dTpw"}}}))
    base = lab.created()
    lab.updated(base, "--with-registry-auth", "--image", IN_REGISTRY)
    assert lab.sent(pb.UpdateServiceRequest).registry_auth
    lab.updated(base, "--image", IN_REGISTRY)
    assert not lab.sent(pb.UpdateServiceRequest).registry_auth
    base = lab.created(image=IN_REGISTRY)
    lab.updated(base, "--with-registry-auth")  # renews the login of the image that it has
    assert lab.sent(pb.UpdateServiceRequest).registry_auth


def _no_resolve(lab: Lab, _: str) -> None:
    lab.created("--no-resolve-image")
    assert not lab.sent(pb.CreateServiceRequest).resolve_image
    lab.created()
    assert lab.sent(pb.CreateServiceRequest).resolve_image


CREATE: tuple[Row, ...] = (
    Row("service create", "--mode", Proof(PLAN, _mode)),
    Row("service create", "--name", Proof(PLAN, _name)),
    Row("service create", "--env-file", Proof(KERNEL, _env_file)),
    Row("service create", "--with-registry-auth", Proof(REQUEST, _with_auth)),
    Row("service create", "--no-resolve-image", Proof(REQUEST, _no_resolve)),
)


# -- service update ------------------------------------------------------------------------


def _args(lab: Lab, _: str) -> None:
    base = lab.created()
    process = kernel(lab.updated(base, "--args", "run 'a b'")).config.process
    assert process is not None
    assert process.args == ("/entry", "run", "a b")


def _image(lab: Lab, _: str) -> None:
    base = lab.created()
    assert lab.updated(base, "--image", "new").task.container.image == "new"
    assert lab.sent(pb.UpdateServiceRequest).resolve_image
    lab.updated(base, "--image", "new", "--no-resolve-image")
    assert not lab.sent(pb.UpdateServiceRequest).resolve_image


def _force(lab: Lab, _: str) -> None:
    """Nothing but the force is another, and that is enough for new tasks."""

    def replaced(*words: str) -> int:
        base = lab.created()
        world = stories.planned(base, stories.world_of("a"))
        world.converge()
        world.change(stories.WEB, lab.updated(base, *words))
        world.plan()
        return stories.stopped(world)

    assert replaced("--force") == 1
    assert replaced() == 0


def _no_autoscale(lab: Lab, _: str) -> None:
    scaled = lab.created("--autoscale", "min=1,max=9,cpu=50")
    assert stories.scaled_by_use(lab.updated(scaled, "--no-autoscale")) is None
    assert stories.scaled_by_use(scaled) == 4


def _no_schedule(lab: Lab, _: str) -> None:
    job = lab.created("--schedule", "*/5 * * * *")
    assert stories.now_and_later(lab.updated(job, "--no-schedule"))[0] == 1
    assert stories.now_and_later(job)[0] == 0


def _rollback(lab: Lab, _: str) -> None:
    lab.furnish()
    assert lab.run("service", "update", "-d", "--rollback", "web").status == 0
    [request] = lab.swarm.asked(pb.RollbackServiceRequest)
    assert (request.service_id, request.version) == (ID, 7)
    assert not lab.swarm.asked(pb.UpdateServiceRequest)
    said = lab.refused("service", "update", "--rollback", "--replicas", "2", "web")
    assert "--rollback and --replicas exclude each other" in said


UPDATE: tuple[Row, ...] = (
    Row("service update", "--args", Proof(KERNEL, _args)),
    Row("service update", "--image", Proof(KERNEL, _image)),
    Row("service update", "--no-resolve-image", Proof(REQUEST, _image)),
    Row("service update", "--force", Proof(PLAN, _force)),
    Row("service update", "--no-autoscale", Proof(PLAN, _no_autoscale)),
    Row("service update", "--no-schedule", Proof(PLAN, _no_schedule)),
    Row("service update", "--with-registry-auth", Proof(REQUEST, _with_auth_on_update)),
)


# -- on both, and not on plan --------------------------------------------------------------


def _refused_on(command: str, target: str) -> tuple[Row, ...]:
    """What Docker has and we do not."""
    return tuple(
        refused(command, flag, f"{command} {flag} {value} {target}", reason)
        for flag, value, reason in (
            ("--isolation", "hyperv", "Windows"),
            ("--credential-spec", "file://x", "Windows"),
        )
    )


def _as_json(command: str, target: str) -> Row:
    return prints(command, "--format", "--format json", lambda ran: ran.out[:1], "{", rest=target)


SERVICE: tuple[Row, ...] = (
    *_refused_on("service create", BUSY),
    *_refused_on("service update", "web"),
    *waiting("service create", BUSY),
    *waiting("service update"),
    Row("service update", "--rollback", Proof(REQUEST, _rollback)),
)
PLANNING: tuple[Row, ...] = (
    *_refused_on("plan create", BUSY),
    *_refused_on("plan update", "web"),
    _as_json("plan create", BUSY),
    _as_json("plan update", "web"),
    _as_json("plan scale", "web=5"),
)
