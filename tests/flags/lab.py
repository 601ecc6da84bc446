"""Follow a flag from the command line to where it counts.

The real command runs against a fake swarm, which keeps the spec that it was sent. From there
the spec goes one of two ways, as it does in a swarm: through the planners, over a world of
nodes; or through the agent and the runtime's translation, to what the kernel is told.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from agent.assignments import Wanted
from agent.containers import Container, Node, container
from agent.rights import Fences
from agent.templates import Host
from manager import layout
from manager.control.services import create, update
from manager.decisions import changes_made
from runtime.checks import check
from runtime.oci.config import Config, IdMapping
from runtime.plan import Extras
from runtime.spec import ContainerSpec as Runtime
from runtime.spec import UserNamespace
from runtime.translation import to_config, to_extras
from swarm import specs
from swarm.api.v1 import control_pb2, specs_pb2
from swarm.checks import check_service
from swarm.codec import from_message, to_message
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.images.config import ImageConfig
from swarm.objects import Node as Stored
from swarm.objects import NodeDescription, Task
from swarm.specs import GenericResource, Healthcheck, NodeSpec, ServiceSpec
from tests.manager.orchestrator.driving import Driven
from tests.swarmctl import answers
from tests.swarmctl.fake_swarm import NODE_ID, FakeSwarm, serving
from tests.swarmctl.running import Ran, run

ID = "s" * 25
_HARMLESS = ("List", "Get", "Inspect", "Plan", "Watch", "Read", "Explain")
IMAGE = ImageConfig(
    entrypoint=("/entry",),
    cmd=("serve",),
    stop_signal="SIGQUIT",
    healthcheck=Healthcheck(test=("CMD", "well"), interval_s=9.0),
)
NODE = Node(
    host=Host(node_id=NodeId("n1"), hostname="alpha", arch="x86_64"),
    containers="/d/containers",
    volumes="/d/volumes",
    cgroup_parent="swarmd",
    contents="/run/contents",
    resolv="nameserver 10.0.0.2\n",
    fences=Fences(has_apparmor=True),
)
REMAPPED = replace(
    NODE,
    fences=Fences(
        has_apparmor=True,
        user_namespace=UserNamespace(
            uids=(IdMapping(container_id=0, host_id=100_000, size=65536),),
            gids=(IdMapping(container_id=0, host_id=100_000, size=65536),),
        ),
    ),
)


class Lab:
    """A command line, and the swarm that it talks to."""

    def __init__(self, socket: Path, swarm: FakeSwarm, directory: Path) -> None:
        self._socket = socket
        self._is_planning = False
        self.swarm = swarm
        self.directory = directory

    def run(self, *words: str, stdin: bytes = b"") -> Ran:
        """One command; its requests are in `swarm.requests`."""
        self.swarm.requests.clear()
        return run(self._socket, *words, stdin=stdin)

    def file(self, name: str, content: str) -> str:
        """The path of a file with that content."""
        path = self.directory / name
        path.write_text(content)
        return str(path)

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Have `created` and `updated` say the same words to `plan`."""
        self._is_planning = True
        try:
            yield
        finally:
            self._is_planning = False

    def furnish(self) -> None:
        """Put two services, two nodes, some tasks and a line of output into the swarm."""
        swarm = self.swarm
        swarm.services.clear()
        task = specs.TaskSpec(container=specs.ContainerSpec(image="nginx:1"))
        web = ServiceSpec(name="web", labels={"tier": "front"}, task=task)
        swarm.add_service(web, service_id=ID)
        swarm.add_service(ServiceSpec(name="db", task=task), service_id="d" * 25)
        swarm.nodes = [
            answers.node("w1", hostname="beta", labels={"zone": "east"}),
            answers.node(NODE_ID, hostname="alpha", role=1, is_leader=True),
        ]
        swarm.nodes[0].node.spec.taints.append(
            specs_pb2.Taint(key="gpu", effect=specs_pb2.TAINT_EFFECT_NO_SCHEDULE)
        )
        swarm.tasks = [
            answers.task("t" * 25, node_id=NODE_ID, hostname="alpha"),
            answers.task("u" * 25, slot=2, node_id="w1", hostname="beta", desired=640),
            answers.task("e" * 25, slot=3, node_id=NODE_ID, state=704, error="x" * 40),
        ]
        for view in swarm.tasks:
            view.task.service_id = ID
        line = control_pb2.LogLine(
            task_id="t" * 25,
            node_id=NODE_ID,
            at=1_700_000_000.25,
            data=b"hello\n",
            service_name="web",
            slot=1,
        )
        swarm.logs = [control_pb2.LogBatch(lines=[line])]
        swarm.progress = [control_pb2.ServiceProgress(wanted=1, running=1)]
        swarm.cluster_spec = to_message(
            specs.ClusterSpec(task_history_limit=9, heartbeat_s=1, cert_expiry_s=7776000)
        )

    def created(
        self, *argv: str, image: str = "busybox", args: tuple[str, ...] = ()
    ) -> ServiceSpec:
        """What `service create` sends."""
        named = () if "--name" in argv else ("--name", "web")
        self._do("create", *named, *argv, image, *args)
        return sound(self.sent(control_pb2.CreateServiceRequest).spec)

    def updated(self, spec: ServiceSpec, *argv: str) -> ServiceSpec:
        """What `service update` sends for a service that has `spec`."""
        self.swarm.services.clear()
        self.swarm.add_service(spec, service_id=ID)
        self._do("update", *argv, "web")
        return sound(self.sent(control_pb2.UpdateServiceRequest).spec)

    def sent(self, kind: type[Any]) -> Any:
        """The one request of that kind; in planning, what asks for the plan and for no more."""
        changes = self.changes()
        if not self._is_planning:
            [request] = [each for each in changes if isinstance(each, kind)]
            return request
        assert not changes, changes
        [request] = self.swarm.asked(control_pb2.PlanServiceRequest)
        return request

    def sent_of(self, kind: type[Any]) -> Any:
        """The one request of that kind, whatever else was asked."""
        [request] = self.swarm.asked(kind)
        return request

    def changes(self) -> list[Any]:
        """Requests of the last command that do something."""
        return [x for x in self.swarm.requests if not type(x).__name__.startswith(_HARMLESS)]

    def refused(self, *words: str, furnish: bool = True) -> str:
        """What the command says when it asks for nothing."""
        if furnish:
            self.furnish()
        ran = self.run(*words)
        assert ran.status != 0
        assert not self.changes()
        assert not self.swarm.asked(control_pb2.PlanServiceRequest)
        return ran.err

    def _do(self, verb: str, *words: str) -> None:
        group = ("plan",) if self._is_planning else ("service",)
        detached = () if self._is_planning or "-d" in words else ("-d",)
        ran = self.run(*group, verb, *detached, *words)
        assert ran.status in ((0, 1) if self._is_planning else (0,)), ran.err


def sound(message: specs_pb2.ServiceSpec) -> ServiceSpec:
    """A spec that was sent, which nobody will refuse."""
    spec = from_message(ServiceSpec, message)
    assert check_service(spec) == ()
    return spec


class Kernel(Struct, frozen=True):
    """What becomes of a service's first task on a node, down to what the kernel is told."""

    container: Container
    spec: Runtime
    config: Config
    extras: Extras
    grace_s: float

    @property
    def files(self) -> dict[str, str]:
        """Files that are written for the container."""
        return {each.path: each.content for each in self.spec.files}

    @property
    def env(self) -> dict[str, str]:
        """The program's environment."""
        process = self.config.process
        assert process is not None
        return dict(each.split("=", 1) for each in process.env)

    @property
    def mounted(self) -> dict[str, Any]:
        """Mounts by where they are."""
        return {each.destination: each for each in self.config.mounts}


def kernel(spec: ServiceSpec, *, node: Node = NODE, image: ImageConfig = IMAGE) -> Kernel:
    """The way of `spec` through the agent and the runtime."""
    task = Task(
        id=TaskId("0123456789abcdefghijklmno"),
        service_id=ServiceId("s1"),
        service_name=spec.name,
        slot=1,
        node_id=NodeId("n1"),
    )
    wanted = Wanted(task=task, spec=spec.task, revision=1, labels=spec.labels)
    made = container(wanted, image, ("/l1",), node)
    check(made.spec)
    return Kernel(
        made,
        made.spec,
        to_config(made.spec),
        to_extras(made.spec),
        spec.task.container.stop_grace_s,
    )


class Planned(Driven):
    """A world in which services of the command line are planned."""

    def add_node(
        self,
        name: str,
        *,
        cpu: int = 4000,
        memory: int = 4 << 30,
        zone: str = "",
        arch: str = "x86_64",
        taints: tuple[specs.Taint, ...] = (),
        generic: tuple[GenericResource, ...] = (),
    ) -> None:
        """A node with a session."""
        description = NodeDescription(
            hostname=name,
            os="linux",
            arch=arch,
            resources=specs.Resources(cpu_millis=cpu, memory_bytes=memory, generic=generic),
        )
        labels = {"zone": zone} if zone else {}
        self.write(
            (
                layout.node_key(NodeId(name)),
                specs_node(name, NodeSpec(labels=labels, taints=taints), description),
            )
        )
        self.connect(NodeId(name))

    def add(self, spec: ServiceSpec) -> ServiceId:
        """Store a service as the control API does."""
        service_id = ServiceId(f"s-{spec.name}")
        self.commit_now(create(self.view, spec, service_id, now=self.now))
        return service_id

    def change(self, service_id: ServiceId, spec: ServiceSpec) -> None:
        """Store its next spec as the control API does."""
        key = layout.service_key(service_id)
        self.commit_now(update(self.view, service_id, self.view.version(key), spec, now=self.now))

    def commit_now(self, commit: Any) -> None:
        """Have what the control API decided."""
        self.revision += 1
        changes = changes_made(commit, self.revision)
        for each in changes:
            if each.value is None:
                self.keys.pop(each.key, None)
            else:
                self.keys[each.key] = each.value, self.revision
        self._follow(self.view.apply(changes, self.revision, now=self.now))


def specs_node(name: str, spec: NodeSpec, description: NodeDescription) -> Any:
    """A node as the store has it."""
    return Stored(id=NodeId(name), spec=spec, description=description)


@contextmanager
def laboratory(directory: Path) -> Iterator[Lab]:
    """A command line with a fake swarm behind it, which has a secret and a config."""
    socket = directory / "swarmd.sock"
    with serving(socket) as swarm:
        swarm.secrets = [control_pb2.SecretView(id="id-key", spec=specs_pb2.SecretSpec(name="key"))]
        swarm.configs = [control_pb2.ConfigView(id="id-cfg", spec=specs_pb2.ConfigSpec(name="cfg"))]
        yield Lab(socket, swarm, directory)
