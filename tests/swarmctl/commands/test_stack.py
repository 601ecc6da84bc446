"""`stack` makes a stack what its files say, and asks for no more than that."""

from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import objects_pb2, specs_pb2
from swarm.codec import from_message
from swarm.errors import Conflict, Refused
from swarm.specs import Global, GlobalJob, ServiceSpec
from tests.swarmctl import answers
from tests.swarmctl.fake_swarm import NODE_ID, FakeSwarm
from tests.swarmctl.running import Ran, run

PINNED = "busybox:1@sha256:" + "a" * 64
MARK = {"com.docker.stack.namespace": "shop"}
FILE = """
services:
  web:
    image: busybox:${TAG:-1}
    networks: [host]
    secrets: [key]
    configs: [site]
  db: {image: "busybox:1", networks: [none]}
secrets: {key: {file: ./key.txt}}
configs: {site: {environment: SITE}}
"""
Deploy = Callable[..., Ran]


@pytest.fixture
def deploy(
    socket: Path, swarm: FakeSwarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Deploy:
    """Deploy `stack.yml` as `shop`, without waiting."""
    monkeypatch.setenv("SITE", "a=1")
    monkeypatch.delenv("TAG", raising=False)
    (tmp_path / "key.txt").write_text("a key")
    (tmp_path / "stack.yml").write_text(FILE)

    def act(*flags: str) -> Ran:
        swarm.requests.clear()
        return run(socket, "stack", "deploy", "-d", "-c", f"{tmp_path}/stack.yml", *flags, "shop")

    return act


def store(swarm: FakeSwarm, *, image: str = PINNED) -> None:
    """Keep what was asked for, as managers do."""
    for number, request in enumerate(swarm.asked(pb.CreateServiceRequest)):
        spec = request.spec
        spec.task.container.image = image
        swarm.add_service(from_message(ServiceSpec, spec), service_id=f"{number}" * 25)


def test_secrets_and_configs_are_made_before_the_services_that_refer_to_them(
    swarm: FakeSwarm, deploy: Deploy
) -> None:
    ran = deploy("--resolve-image", "changed")

    assert ran.out.splitlines() == [
        "Creating secret shop_key",
        "Creating config shop_site",
        "Creating service shop_web",
        "Creating service shop_db",
    ]
    [secret] = swarm.asked(pb.CreateSecretRequest)
    assert (secret.spec.name, dict(secret.spec.labels), secret.data) == ("shop_key", MARK, b"a key")
    [config] = swarm.asked(pb.CreateConfigRequest)
    assert config.data == b"a=1"
    web, db = swarm.asked(pb.CreateServiceRequest)
    assert web.spec.task.container.secrets[0].id == "s" * 25
    assert web.spec.task.container.configs[0].id == "c" * 25
    assert web.resolve_image
    assert [each.target for each in db.spec.task.networks] == ["none"]
    assert dict(db.spec.labels) == {**MARK, "com.docker.stack.image": "busybox:1"}


def test_what_is_as_it_should_be_is_left_alone(swarm: FakeSwarm, deploy: Deploy) -> None:
    deploy()
    store(swarm)

    ran = deploy()

    assert ran.out == "Service shop_web is unchanged\nService shop_db is unchanged\n"
    changes = pb.CreateServiceRequest, pb.UpdateServiceRequest, pb.CreateSecretRequest
    assert not [each for kind in changes for each in swarm.asked(kind)]
    [check] = swarm.asked(pb.UpdateSecretRequest)
    assert (check.keep, check.data, check.HasField("spec")) == (True, b"a key", False)


def test_a_new_digest_of_the_same_image_is_a_change(swarm: FakeSwarm, deploy: Deploy) -> None:
    deploy()
    store(swarm)
    newer = "busybox:1@sha256:" + "b" * 64
    swarm.plan.changes.append(pb.FieldChange(path="task.container.image", after=newer))

    ran = deploy()

    assert "Updating service shop_db" in ran.out
    update = swarm.asked(pb.UpdateServiceRequest)[0]
    assert (update.resolve_image, update.spec.task.container.image) == (True, "busybox:1")
    assert not [*swarm.asked(pb.UpdateServiceRequest)][2:]
    assert "unchanged" in deploy("--resolve-image", "changed").out


def test_an_image_that_nobody_can_look_up_stays_pinned(swarm: FakeSwarm, deploy: Deploy) -> None:
    deploy()
    store(swarm)
    change = pb.FieldChange(path="task.container.image", before=PINNED, after="busybox:1")
    swarm.plan.changes.append(change)
    swarm.plan.warnings.append("the registry is silent")

    ran = deploy()

    assert ran.out == "Service shop_web is unchanged\nService shop_db is unchanged\n"
    assert "Warning: the registry is silent" in ran.err


def test_another_image_is_a_change_and_a_conflict_is_looked_at_again(
    swarm: FakeSwarm, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy()
    store(swarm)
    monkeypatch.setenv("TAG", "2")
    swarm.conflicts = 2

    ran = deploy("--resolve-image", "never")

    assert ran.status == 0, ran.err
    assert "Service shop_db is unchanged" in ran.out
    first, _, last = swarm.asked(pb.UpdateServiceRequest)
    assert last.version == first.version + 2
    assert (last.resolve_image, last.spec.task.container.image) == (False, "busybox:2")


def test_a_conflict_that_stays_is_told(swarm: FakeSwarm, deploy: Deploy) -> None:
    swarm.refuse("CreateService", Conflict("somebody was faster"))

    ran = deploy()

    assert (ran.status, "somebody was faster" in ran.err) == (1, True)


def test_other_data_is_refused_before_anything_is_made(swarm: FakeSwarm, deploy: Deploy) -> None:
    spec = specs_pb2.SecretSpec(name="shop_key", labels=MARK)
    swarm.secrets = [pb.SecretView(id="old", spec=spec)]
    swarm.refuse("UpdateSecret", Refused("secret shop_key exists with other data"))

    ran = deploy()

    assert "exists with other data" in ran.err
    made = pb.CreateConfigRequest, pb.CreateServiceRequest
    assert not [each for kind in made for each in swarm.asked(kind)]


@pytest.mark.parametrize(
    ("present", "complaint"),
    [
        (
            ServiceSpec(name="shop_db", mode=Global(), labels=MARK),
            "services.db.deploy.mode: service shop_db is global and cannot become replicated;"
            " remove it first: swarmctl service rm shop_db",
        ),
        (
            ServiceSpec(name="shop_db", mode=GlobalJob(), labels=MARK),
            "services.db.deploy.mode: service shop_db is global-job and cannot become replicated",
        ),
        (
            ServiceSpec(name="shop_db"),
            "services.db: there is a service shop_db already, and it belongs to no stack;"
            " give one another name",
        ),
        (
            ServiceSpec(name="shop_db", labels={"com.docker.stack.namespace": "shop_"}),
            "there is a service shop_db already, and stack shop_ has it",
        ),
    ],
)
def test_what_a_service_cannot_become_is_told_before_anything_is_made(
    swarm: FakeSwarm, deploy: Deploy, present: ServiceSpec, complaint: str
) -> None:
    """The last service of a file was once refused when all others were changed already."""
    swarm.add_service(present, service_id="s" * 25)

    for flags in ((), ("--dry-run",)):
        ran = deploy(*flags)

        assert (ran.status, ran.out) == (1, "")
        assert complaint in ran.err
        made = pb.CreateSecretRequest, pb.CreateConfigRequest, pb.CreateServiceRequest
        assert not [each for kind in made for each in swarm.asked(kind)]


def test_other_labels_of_a_secret_are_set(swarm: FakeSwarm, deploy: Deploy) -> None:
    swarm.secrets = [pb.SecretView(id="old", spec=specs_pb2.SecretSpec(name="shop_key"))]

    ran = deploy()

    assert "Updating secret shop_key" in ran.out
    update = swarm.asked(pb.UpdateSecretRequest)[-1]
    assert (update.keep, dict(update.spec.labels)) == (True, MARK)


def test_what_is_external_has_to_be_there(swarm: FakeSwarm, deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "stack.yml").write_text(
        "services: {web: {image: x, secrets: [key]}}\nsecrets: {key: {external: true}}"
    )

    assert "no such secret: key" in deploy().err
    swarm.secrets = [pb.SecretView(id="there", spec=specs_pb2.SecretSpec(name="key"))]
    assert deploy().status == 0
    [request] = swarm.asked(pb.CreateServiceRequest)
    assert request.spec.task.container.secrets[0].id == "there"


def test_only_pruning_removes_what_the_file_has_no_more(swarm: FakeSwarm, deploy: Deploy) -> None:
    for name, labels in (("shop_old", MARK), ("shop_foreign", {})):
        swarm.add_service(ServiceSpec(name=name, labels=labels), service_id=name)

    assert "Removing" not in deploy().out
    assert "Removing service shop_old" in deploy("--prune").out
    assert [each.service_id for each in swarm.asked(pb.RemoveServiceRequest)] == ["shop_old"]


def test_a_dry_run_plans_each_service_and_does_nothing(swarm: FakeSwarm, deploy: Deploy) -> None:
    """What a service refers to is shown though no manager could plan it: it is not made yet."""
    swarm.add_service(ServiceSpec(name="shop_old", labels=MARK), service_id="old")

    ran = deploy("--dry-run", "--prune")

    assert (ran.status, ran.out.splitlines()) == (
        0,
        [
            "+ secret shop_key",
            "+ config shop_site",
            "- service shop_old",
            "+ service shop_web",
            "  + task.container.secrets[key]    shop_key",
            "  + task.container.configs[/site]  shop_site",
            "+ service shop_db",
        ],
    )
    kinds = {type(each).__name__ for each in swarm.requests}
    assert kinds == {
        "ListSecretsRequest", "ListConfigsRequest", "ListServicesRequest", "PlanServiceRequest",
        "ListNetworksRequest",
    }  # fmt: skip


NETWORKS = """
services:
  web: {image: busybox, networks: [front, back]}
networks:
  front: {attachable: true}
  back: {external: true, name: shared}
"""


def keep_network(swarm: FakeSwarm, name: str, **spec: object) -> pb.NetworkView:
    made = pb.NetworkView(
        network=objects_pb2.Network(
            id=f"id-of-{name}", spec=specs_pb2.NetworkSpec(name=name, **spec)
        )
    )
    swarm.networks.append(made)
    return made


def test_networks_are_made_before_the_services_that_are_in_them(
    swarm: FakeSwarm, deploy: Deploy, tmp_path: Path
) -> None:
    keep_network(swarm, "shared")
    (tmp_path / "stack.yml").write_text(NETWORKS)

    ran = deploy()

    [made] = swarm.asked(pb.CreateNetworkRequest)
    [web] = swarm.asked(pb.CreateServiceRequest)
    assert ran.out.splitlines() == ["Creating network shop_front", "Creating service shop_web"]
    assert (made.spec.name, made.spec.attachable, dict(made.spec.labels)) == (
        "shop_front", True, MARK,
    )  # fmt: skip
    assert [each.target for each in web.spec.task.networks] == [
        swarm.networks[1].network.id,
        "id-of-shared",
    ]


def test_networks_that_are_there_are_left_alone(
    swarm: FakeSwarm, deploy: Deploy, tmp_path: Path
) -> None:
    keep_network(swarm, "shared")
    (tmp_path / "stack.yml").write_text(NETWORKS)
    deploy()
    store(swarm)

    ran = deploy("--resolve-image", "changed")

    assert ran.out == "Service shop_web is unchanged\n"


@pytest.mark.parametrize(
    ("name", "spec", "complaint"),
    [
        ("other", {}, "no such network: shared"),
        ("shop_front", {"internal": True}, "there with other settings: internal, attachable"),
    ],
)
def test_a_network_that_cannot_be_is_told_of_before_anything_is_made(
    swarm: FakeSwarm, deploy: Deploy, tmp_path: Path, name: str, spec: dict[str, object],
    complaint: str,
) -> None:  # fmt: skip
    keep_network(swarm, name, **spec)
    (tmp_path / "stack.yml").write_text(NETWORKS)

    ran = deploy()

    assert ran.status == 1
    assert complaint in ran.err
    assert not swarm.asked(pb.CreateNetworkRequest)
    assert not swarm.asked(pb.CreateServiceRequest)


def test_pruning_removes_networks_that_the_file_has_no_more(
    swarm: FakeSwarm, deploy: Deploy
) -> None:
    keep_network(swarm, "shop_old", labels=MARK)
    keep_network(swarm, "theirs")

    deploy()
    kept = [each.network.spec.name for each in swarm.networks]
    ran = deploy("--prune")

    assert kept == ["shop_old", "theirs"]
    assert "Removing network shop_old" in ran.out
    assert [each.network.spec.name for each in swarm.networks] == ["theirs"]


def test_a_network_that_is_still_used_is_tried_again_and_said_to_stay(
    swarm: FakeSwarm, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmctl.io.stacks.PRUNED_WITHIN_S", 1.5)
    monkeypatch.setattr("swarmctl.io.stack_networks.LOOK_AGAIN_S", 0.01)
    keep_network(swarm, "shop_front", labels=MARK).services.append("web")

    ran = run(socket, "stack", "rm", "-d", "shop")

    assert ran.status == 1
    assert "network shop_front is used by web" in ran.err
    assert len(swarm.asked(pb.RemoveNetworkRequest)) > 1


def test_logins_are_sent_on_request(
    swarm: FakeSwarm, deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    login = '{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6cHc="}}}'
    (tmp_path / "config.json").write_text(login)

    deploy("--with-registry-auth")
    assert all(each.registry_auth for each in swarm.asked(pb.CreateServiceRequest))
    deploy()
    assert not any(each.registry_auth for each in swarm.asked(pb.CreateServiceRequest))

    store(swarm)
    for view in swarm.services.values():
        view.service.spec.task.registry_login = True
    assert deploy("--resolve-image", "changed").out.count("is unchanged") == 2
    renewed = deploy("--resolve-image", "changed", "--with-registry-auth")
    assert renewed.out.count("Updating service") == 2
    asked = [*swarm.asked(pb.UpdateServiceRequest)]
    assert [bool(each.registry_auth) for each in asked] == [True, True]
    assert [each.spec.task.container.image for each in asked] == [PINNED, PINNED]


def test_what_was_changed_is_waited_for(
    swarm: FakeSwarm, socket: Path, deploy: Deploy, tmp_path: Path
) -> None:
    swarm.progress = [pb.ServiceProgress(wanted=1, running=1)]

    ran = run(socket, "stack", "up", "-c", f"{tmp_path}/stack.yml", "shop")

    assert "verify: Service shop_web converged" in ran.out
    quiet = run(socket, "stack", "up", "-q", "-c", f"{tmp_path}/stack.yml", "shop")
    assert "converged" not in quiet.out


def test_a_refusal_is_told_in_the_words_of_the_file(swarm: FakeSwarm, deploy: Deploy) -> None:
    from swarm.errors import Invalid

    swarm.refuse("CreateService", Invalid("task.limits.cpu_millis: more than any node has"))

    assert "services.web.deploy.resources.limits.cpus: more than any node has" in deploy().err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("services: {web: {image: x, colour: red, tty: y}}", "the stack file has 2 problems"),
        ("services: [", "stack.yml:1: "),
        ("services: {web: {image: '$'}}", "services.web.image: '$' has a variable"),
        ("services: {web: {image: x, secrets: [a]}}\nsecrets: {a: {file: nix}}", "nix"),
        (
            "services: {web: {image: x, secrets: [a]}}\nsecrets: {a: {environment: NIX_1}}",
            "secret shop_a: the variable NIX_1 is not set",
        ),
    ],
)
def test_a_bad_file_is_refused_and_nothing_is_asked_for(
    swarm: FakeSwarm, deploy: Deploy, tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "stack.yml").write_text(text)

    ran = deploy()

    assert (ran.status, complaint in ran.err) == (1, True), ran.err
    assert not swarm.asked(pb.CreateServiceRequest)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("deploy", "shop"), "missing --compose-file"),
        (("deploy", "-c", "/none.yml", "shop"), "/none.yml: No such file"),
        (("deploy", "-c", "-", "a b"), "a stack cannot be called 'a b'"),
        (("ps", "none"), "nothing found in stack: none"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    swarm: FakeSwarm, socket: Path, words: tuple[str, ...], complaint: str
) -> None:
    ran = run(socket, "stack", *words, stdin=b"services: {web: {image: x}}")

    assert ran.status != 0
    assert complaint in ran.err


def test_config_prints_the_files_as_one(
    socket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAG", "7")
    monkeypatch.delenv("OTHER", raising=False)
    (tmp_path / "a.yml").write_text("services: {web: {image: 'x:$TAG', tty: true}}")
    (tmp_path / "b.yml").write_text("services: {web: {user: '$OTHER', hostname: $$h}}")
    files = ("-c", f"{tmp_path}/a.yml", "-c", f"{tmp_path}/b.yml")

    ran = run(socket, "stack", "config", *files)
    raw = run(socket, "stack", "config", "--skip-interpolation", *files)

    assert ran.out == (
        "services:\n  web:\n    hostname: $h\n    image: x:7\n    tty: true\n    user: ''\n"
    )
    assert ran.err == "Warning: not set, and therefore empty: OTHER\n"
    assert "image: x:$TAG" in raw.out
    assert "hostname: $$h" in raw.out


@pytest.fixture
def two_stacks(swarm: FakeSwarm) -> None:
    """Two stacks and a service of none."""
    for name, labels in (
        ("shop_web", MARK),
        ("shop_db", MARK),
        ("blog_web", {"com.docker.stack.namespace": "blog"}),
        ("alone", {}),
    ):
        swarm.add_service(ServiceSpec(name=name, labels=labels), service_id=name)
    swarm.tasks = [
        answers.task("t" * 25, node_id=NODE_ID, hostname="alpha"),
        answers.task("u" * 25, slot=2, node_id=NODE_ID, hostname="alpha"),
    ]
    for view, service in zip(swarm.tasks, ("shop_web", "blog_web"), strict=True):
        view.task.service_id = service


@pytest.mark.usefixtures("two_stacks")
def test_stacks_are_listed_with_their_services_and_tasks(socket: Path) -> None:
    listed = run(socket, "stack", "ls").out.splitlines()
    assert [line.split() for line in listed] == [["NAME", "SERVICES"], ["blog", "1"], ["shop", "2"]]
    assert run(socket, "stack", "ls", "--format", "{{.Name}}").out == "blog\nshop\n"

    names = run(socket, "stack", "services", "--format", "{{.Name}}", "shop").out
    assert names == "shop_db\nshop_web\n"
    chosen = run(socket, "stack", "services", "-q", "-f", "name=shop_w", "shop").out
    assert chosen == "shop_web\n"

    assert run(socket, "stack", "ps", "-q", "--no-trunc", "shop").out == "t" * 25 + "\n"


@pytest.mark.usefixtures("two_stacks")
def test_a_stack_is_removed_with_all_that_is_marked(swarm: FakeSwarm, socket: Path) -> None:
    swarm.secrets = [
        pb.SecretView(id="mine", spec=specs_pb2.SecretSpec(name="shop_key", labels=MARK)),
        pb.SecretView(id="other", spec=specs_pb2.SecretSpec(name="key")),
    ]
    swarm.tasks_of_calls = [swarm.tasks, swarm.tasks[1:]]

    ran = run(socket, "stack", "down", "shop")

    assert ran.out.splitlines() == [
        "Removing service shop_db", "Removing service shop_web", "Removing secret shop_key",
    ]  # fmt: skip
    removed = swarm.asked(pb.RemoveServiceRequest), swarm.asked(pb.RemoveSecretRequest)
    assert [each.service_id for each in removed[0]] == ["shop_db", "shop_web"]
    assert [each.secret for each in removed[1]] == ["mine"]
    assert len(swarm.asked(pb.ListTasksRequest)) == 2
    swarm.requests.clear()
    run(socket, "stack", "rm", "-d", "shop")
    assert not swarm.asked(pb.ListTasksRequest)


@pytest.mark.usefixtures("two_stacks")
def test_several_stacks_are_removed_though_one_is_unknown(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "stack", "rm", "-d", "none", "blog")

    assert (ran.status, ran.err) == (0, "Nothing found in stack: none\n")
    assert [each.service_id for each in swarm.asked(pb.RemoveServiceRequest)] == ["blog_web"]


@pytest.mark.usefixtures("two_stacks")
def test_nothing_to_list_or_to_remove_is_no_failure(swarm: FakeSwarm, socket: Path) -> None:
    """As with Docker: a script that tears down what may not be there goes on."""
    for words in (["services", "none"], ["services", "-q", "none"], ["rm", "none"]):
        ran = run(socket, "stack", *words)

        assert (ran.status, ran.out, ran.err) == (0, "", "Nothing found in stack: none\n")
    assert not swarm.asked(pb.RemoveServiceRequest)
