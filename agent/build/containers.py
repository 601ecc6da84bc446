"""Describe the container that a RUN runs in.

It is like any other container of this node: no privileges, the default capabilities and system
calls, a group and namespaces of its own. What the runtime puts into its root, to mount something
there, is no change of the image (`OURS`).
"""

from posixpath import join, normpath

from msgspec import Struct
from msgspec.structs import replace

from agent import containers
from agent.build.request import DEFAULT_PIDS, Request
from agent.build.steps import Program, State
from agent.containers import SHORT_ID, Node
from agent.standalone.lending import HOST_GATEWAY, Lent
from agent.standalone.record import Record
from runtime.spec import ContainerSpec, Log, Mount, Resources
from swarm.errors import Invalid, Refused
from swarm.images.config import ImageConfig
from swarm.specs import ContainerSpec as Asked
from swarm.specs import Limits
from swarm.standalone import StandaloneSpec

OURS = (
    "/proc", "/sys", "/sys/fs", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue",
    "/dev/console", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
)  # fmt: skip
BUILD_LABEL = "swarm.build.id"
MILLIS = 1000


class Place(Struct, frozen=True, kw_only=True):
    """Where a step is done: `own` is its directory, `layers` what it begins with, topmost first."""

    build_id: str
    container_id: str
    own: str
    layers: tuple[str, ...]


def record(request: Request, place: Place, now: float) -> Record:
    """The container as those see it who give it its place in networks."""
    asked = Asked(image="build", hosts=request.extra_hosts)
    spec = StandaloneSpec(
        name=f"build-{place.container_id[:SHORT_ID]}",
        container=asked,
        network_mode=request.network_mode,
    )
    return Record(
        id=place.container_id, spec=spec, image_id="", image=ImageConfig(), created_at=now
    )


def described(
    program: Program,
    state: State,
    request: Request,
    node: Node,
    place: Place,
    *,
    lent: Lent,
    mounts: tuple[Mount, ...],
) -> ContainerSpec:
    """The container; `Invalid` and `Refused` say what cannot be met."""
    run = state.run
    if lent.on_host and node.fences.user_namespace is not None:
        raise Refused(
            "network mode host contradicts this node's remapped ids", hint="build without it"
        )
    asked = Asked(
        image="build",
        ulimits=request.ulimits,
        hosts=(*lent.hosts, *_hosts(request, lent)),
        allow_new_privileges=True,
    )
    image = ImageConfig(workdir=_absolute(run.working_dir), user=run.user)
    spec = containers.alike(
        asked,
        image,
        node,
        container_id=place.container_id,
        own=place.own,
        layers=place.layers,
    )
    hostname = node.host.hostname if lent.on_host else place.container_id[:SHORT_ID]
    addresses = tuple(address for each in lent.attachments for address in each.addresses)
    files = containers.files(asked, hostname, node, on_host=lent.on_host, addresses=addresses)
    return replace(
        spec,
        args=program.args,
        log=Log(path=f"{place.own}/log/output.log", max_files=0),
        env=_environment(program.env, hostname),
        hostname=hostname,
        mounts=mounts,
        files=containers.uncovered(files, mounts),
        host_network=lent.on_host,
        network_namespace=lent.joins,
        awaits_network=bool(lent.attachments),
        resources=resources(request),
        shm_bytes=request.shm_bytes or spec.shm_bytes,
        annotations={BUILD_LABEL: place.build_id},
    )


def resources(request: Request) -> Resources:
    """What a step may use. Programs without end are an error, not the end of the node."""
    limits: Limits = request.limits
    found = containers.resources(limits)
    return replace(
        found,
        pids_limit=limits.pids or DEFAULT_PIDS,
        cpu_shares=request.cpu_shares,
        cpu_period_us=request.cpu_period_us,
        cpu_quota_us=request.cpu_quota_us,
        cpuset_cpus=request.cpuset_cpus,
        cpuset_mems=request.cpuset_mems,
    )


def target_of(path: str, workdir: str) -> str:
    """Where a mount lies; `Invalid` when that cannot be."""
    found = normpath(join("/", workdir, path))
    if found.lstrip("/") == "":
        raise Invalid(f"mount target {path!r} must not be the root")
    return f"/{found.lstrip('/')}"


def _environment(env: tuple[str, ...], hostname: str) -> tuple[str, ...]:
    """Each name once; a name that nothing could be called is left out, as the kernel would."""
    found: dict[str, str] = {}
    for each in (containers.PATH, f"HOSTNAME={hostname}", *env):
        name, equals, _ = each.partition("=")
        if name and equals and "\0" not in each:
            found[name] = each
    return tuple(found.values())


def _hosts(request: Request, lent: Lent) -> tuple[str, ...]:
    """NAME:ADDRESS; the node may be one of them."""
    found: list[str] = []
    for each in request.extra_hosts:
        name, colon, address = each.replace("=", ":", 1).partition(":")
        if not name or not colon or not address:
            raise Invalid(f'bad format for add-host: "{each}"', hint="write it as NAME:ADDRESS")
        if address == HOST_GATEWAY:
            if not lent.gateway:
                raise Refused(f"{each}: this network has no way to its node by an address")
            address = lent.gateway
        found.append(f"{name}:{address.strip('[]')}")
    return tuple(found)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"
