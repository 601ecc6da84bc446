"""Flags of stacks: what compose files say goes the ways of any service."""

import json

from swarm.api.v1 import control_pb2 as pb
from tests.flags.asking import asks, formatted, full, is_asked, listing
from tests.flags.lab import ID, Lab, kernel, sound
from tests.flags.table import KERNEL, OUTPUT, REQUEST, Proof, Row
from tests.swarmctl.running import Ran

MARK = "com.docker.stack.namespace"
BASE = "services: {web: {image: 'reg.example:5000/app:${TAG:-1}'}}"
OVER = "services: {web: {user: '5:6'}}"


def _marked(lab: Lab) -> None:
    """Both services are of the stack `shop`."""
    for view in lab.swarm.services.values():
        view.service.spec.labels[MARK] = "shop"


def _deployed(lab: Lab, *flags: str, detached: bool = True) -> Ran:
    words = ("-d", *flags) if detached else flags
    ran = lab.run("stack", "deploy", *words, "-c", lab.file("base.yml", BASE), "shop")
    assert ran.status == 0, ran.err
    return ran


def _files(lab: Lab, flag: str) -> None:
    """The later file is laid over the earlier."""

    def user(*flags: str) -> str:
        base = lab.file("base.yml", BASE)
        assert lab.run("stack", "deploy", "-d", "-c", base, *flags, "shop").status == 0
        return kernel(sound(lab.sent(pb.CreateServiceRequest).spec)).extras.user

    assert user(flag, lab.file("over.yml", OVER)) == "5:6"
    assert user() == ""
    assert "missing --compose-file" in lab.refused("stack", "deploy", "shop")


def _prune(lab: Lab, flag: str) -> None:
    lab.furnish()
    _marked(lab)
    _deployed(lab, flag)
    assert sorted(x.service_id for x in lab.swarm.asked(pb.RemoveServiceRequest)) == ["d" * 25, ID]
    _deployed(lab)
    assert not lab.swarm.asked(pb.RemoveServiceRequest)


def _resolve(lab: Lab, flag: str) -> None:
    _deployed(lab, flag, "never")
    assert not lab.sent(pb.CreateServiceRequest).resolve_image
    _deployed(lab)
    assert lab.sent(pb.CreateServiceRequest).resolve_image


def _auth(lab: Lab, flag: str) -> None:
    lab.file("config.json", json.dumps({"auths": {"reg.example:5000": {"auth": "dTpw"}}}))
    _deployed(lab, flag)
    assert lab.sent(pb.CreateServiceRequest).registry_auth
    _deployed(lab)
    assert not lab.sent(pb.CreateServiceRequest).registry_auth


def _dry(lab: Lab, flag: str) -> None:
    assert _deployed(lab, flag).out.splitlines()[:2] == [
        "+ network shop_default",
        "+ service shop_web",
    ]
    assert lab.swarm.asked(pb.PlanServiceRequest)
    assert not lab.changes()
    _deployed(lab)
    assert lab.sent(pb.CreateServiceRequest).spec.name == "shop_web"


def _detach(lab: Lab, flag: str) -> None:
    lab.furnish()
    _deployed(lab, flag, detached=False)
    assert not lab.swarm.asked(pb.WatchServiceRequest)
    assert "converged" in _deployed(lab, detached=False).out
    assert lab.swarm.asked(pb.WatchServiceRequest)


def _quiet(lab: Lab, flag: str) -> None:
    lab.furnish()
    assert "converged" not in _deployed(lab, flag, detached=False).out
    assert lab.swarm.asked(pb.WatchServiceRequest)
    assert "converged" in _deployed(lab, detached=False).out


def _shown_files(lab: Lab, flag: str) -> None:
    base, over = lab.file("base.yml", BASE), lab.file("over.yml", OVER)
    assert "5:6" in lab.run("stack", "config", flag, base, flag, over).out
    assert "user" not in lab.run("stack", "config", flag, base).out
    assert "missing --compose-file" in lab.refused("stack", "config")


def _as_written(lab: Lab, flag: str) -> None:
    base = lab.file("base.yml", BASE)
    assert "${TAG:-1}" in lab.run("stack", "config", flag, "-c", base).out
    assert "app:1\n" in lab.run("stack", "config", "-c", base).out


def _left(lab: Lab) -> None:
    """Tasks of others are all that is left, so nobody has to be waited for."""
    _marked(lab)
    lab.swarm.tasks = []


ROWS: tuple[Row, ...] = (
    Row("stack deploy", "--compose-file", Proof(KERNEL, _files)),
    Row("stack deploy", "--prune", Proof(REQUEST, _prune)),
    Row("stack deploy", "--resolve-image", Proof(REQUEST, _resolve)),
    Row("stack deploy", "--with-registry-auth", Proof(REQUEST, _auth)),
    Row("stack deploy", "--dry-run", Proof(REQUEST, _dry)),
    Row("stack deploy", "--detach", Proof(REQUEST, _detach)),
    Row("stack deploy", "--quiet", Proof(OUTPUT, _quiet)),
    Row("stack config", "--compose-file", Proof(OUTPUT, _shown_files)),
    Row("stack config", "--skip-interpolation", Proof(OUTPUT, _as_written)),
    formatted("stack ls", "--format x{{.Name}}", given=_marked),
    *listing("stack services", "name=web", 1, "shop", given=_marked),
    *listing("stack ps", "desired-state=shutdown", 1, "shop", given=_marked),
    *full("stack ps", "shop", given=_marked),
    asks(
        "stack rm", "--detach", "-d", pb.ListTasksRequest, is_asked, False, rest="shop", given=_left
    ),
)
