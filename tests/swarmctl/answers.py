"""Answers of a swarm, with defaults for what a test does not care about."""

from swarm.api.v1 import control_pb2, images_pb2, objects_pb2, specs_pb2

NOW = 1_700_000_000.0
DIGEST = "sha256:" + "d" * 64


def node(
    node_id: str = "n1",
    *,
    hostname: str = "alpha",
    role: int = specs_pb2.ROLE_WORKER,
    state: int = objects_pb2.NODE_STATE_READY,
    is_leader: bool = False,
    availability: int = specs_pb2.AVAILABILITY_ACTIVE,
    labels: dict[str, str] | None = None,
) -> control_pb2.NodeView:
    return control_pb2.NodeView(
        node=objects_pb2.Node(
            id=node_id,
            spec=specs_pb2.NodeSpec(role=role, availability=availability, labels=labels or {}),
            description=objects_pb2.NodeDescription(
                hostname=hostname,
                os="linux",
                arch="x86_64",
                engine_version="0.1.0",
                addr="10.0.0.1",
                resources=specs_pb2.Resources(cpu_millis=2000, memory_bytes=1 << 30),
                engine_labels={"disk": "ssd"},
            ),
            created_at=NOW - 100,
        ),
        version=5,
        state=state,
        is_leader=is_leader,
        manager_addr="10.0.0.1:2377" if role else "",
    )


def task(
    task_id: str,
    *,
    slot: int = 1,
    service: str = "web",
    node_id: str = "n1",
    hostname: str = "alpha",
    state: int | None = objects_pb2.TASK_STATE_RUNNING,
    desired: int = objects_pb2.TASK_STATE_RUNNING,
    age: float = 10,
    error: str = "",
    message: str = "",
    exit_code: int = 0,
    oom_killed: bool = False,
) -> control_pb2.TaskView:
    view = control_pb2.TaskView(
        task=objects_pb2.Task(
            id=task_id,
            service_id=f"id-of-{service}",
            service_name=service,
            slot=slot,
            node_id=node_id,
            desired=desired,
            created_at=NOW - age,
            updated_at=NOW - age,
            message=message,
        ),
        spec=specs_pb2.TaskSpec(
            container=specs_pb2.ContainerSpec(image=f"docker.io/library/nginx:1@{DIGEST}")
        ),
        node_hostname=hostname if node_id else "",
    )
    if state is not None:
        view.observation.CopyFrom(
            objects_pb2.Observation(
                task_id=task_id,
                state=state,
                at=NOW - age,
                error=error,
                exit_code=exit_code,
                oom_killed=oom_killed,
                pid=77,
            )
        )
    return view


def image(image_id: str, *references: str, age: float = 100) -> images_pb2.Image:
    return images_pb2.Image(
        id=f"sha256:{image_id}",
        digest=DIGEST,
        references=references,
        created_at=NOW - age,
        size_bytes=4_260_000,
    )
