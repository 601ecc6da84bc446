"""Make services of every kind, as managers would accept them."""

from hypothesis import strategies as st

from swarm import seccomp
from swarm.capabilities import NAMES
from swarm.specs import (
    Affinity,
    Autoscale,
    Catchup,
    Concurrency,
    ContainerSpec,
    Dependency,
    DependencyCondition,
    Device,
    EndpointMode,
    EndpointSpec,
    FailureAction,
    FileReference,
    GenericResource,
    Global,
    GlobalJob,
    Healthcheck,
    Limits,
    LogDriver,
    Mount,
    MountKind,
    NetworkAttachment,
    Placement,
    Platform,
    Port,
    Protocol,
    PublishMode,
    Replicated,
    ReplicatedJob,
    Resources,
    RestartCondition,
    RestartPolicy,
    Schedule,
    ServiceSpec,
    Strategy,
    TaintEffect,
    TaskSpec,
    Toleration,
    Ulimit,
    UpdateOrder,
    UpdatePolicy,
)

words = st.text("abcxyzäß漢0189-_./", min_size=1, max_size=8)
texts = st.one_of(st.just(""), words)
tables = st.dictionaries(words, texts, max_size=2)
lists = st.lists(words, max_size=2).map(tuple)
seconds = st.integers(0, 10**15).map(lambda ns: ns / 1e9)
counts = st.integers(0, 2**31 - 1)
amounts = st.integers(0, 2**40)


def several(one: st.SearchStrategy, key=lambda each: each) -> st.SearchStrategy:
    return st.lists(one, max_size=3, unique_by=key).map(tuple)


mounts = st.builds(
    Mount,
    kind=st.sampled_from([MountKind.BIND, MountKind.TMPFS]),
    source=texts,
    target=words,
    read_only=st.booleans(),
    propagation=st.sampled_from(["", "rshared"]),
    nonrecursive=st.booleans(),
    create_source=st.booleans(),
    tmpfs_size_bytes=amounts,
    tmpfs_mode=st.integers(0, 0o7777),
) | st.builds(
    Mount,
    kind=st.just(MountKind.VOLUME),
    source=texts,
    target=words,
    nocopy=st.booleans(),
    labels=tables,
    volume_driver=st.sampled_from(["", "local"]),
    volume_options=tables,
    volume_subpath=texts,
    roams=st.booleans(),
)
files = st.builds(
    FileReference,
    id=words,
    name=words,
    target=words,
    uid=counts.map(str),
    gid=counts.map(str),
    mode=st.integers(0, 0o7777),
)
healths = st.builds(
    Healthcheck,
    test=lists,
    interval_s=seconds,
    timeout_s=seconds,
    retries=counts,
    start_period_s=seconds,
    start_interval_s=seconds,
)
devices = st.builds(Device, source=words, target=words, access=st.sampled_from(["r", "rw", "rwm"]))
containers = st.builds(
    ContainerSpec,
    image=texts,
    command=lists,
    args=lists,
    env=several(st.builds("{}={}".format, words, texts), lambda each: each.partition("=")[0]),
    workdir=texts,
    user=texts,
    groups=lists,
    hostname=texts,
    labels=tables,
    mounts=several(mounts, lambda each: each.target),
    stop_signal=texts,
    stop_grace_s=seconds,
    read_only=st.booleans(),
    init=st.booleans(),
    sysctls=tables,
    ulimits=several(
        st.builds(Ulimit, name=words, soft=st.integers(-1, 2**62), hard=st.integers(-1, 2**62))
    ),
    hosts=several(st.builds("{}:{}".format, words, st.sampled_from(["192.0.2.1", "2001:db8::1"]))),
    oom_score_adj=st.integers(-1000, 1000),
    cap_add=several(st.sampled_from(NAMES)),
    cap_drop=several(st.sampled_from(["ALL", *NAMES])),
    privileged=st.booleans(),
    devices=several(devices),
    seccomp=st.sampled_from(["", seccomp.UNCONFINED, seccomp.compact(b'{"a": ["\xc3\xa4"]}')]),
    apparmor=st.sampled_from(["", "unconfined", "my-profile"]),
    allow_new_privileges=st.booleans(),
    host_user_namespace=st.booleans(),
    tty=st.booleans(),
    open_stdin=st.booleans(),
    health=healths,
    secrets=several(files),
    configs=several(files),
    dns_servers=lists,
    dns_search=lists,
    dns_options=lists,
)
generics = several(
    st.builds(GenericResource, kind=words, count=st.integers(1, 2**31 - 1)),
    lambda each: each.kind,
)
shares = st.just(0) | st.integers(10, 2**31 - 1)
limits = st.builds(
    Limits,
    cpu_millis=shares,
    memory_bytes=st.integers(1, 2**62),
    pids=st.integers(0, 2**22),
    swap_bytes=st.integers(-1, 2**62),
    swappiness=st.integers(-1, 100),
) | st.builds(Limits, cpu_millis=shares, swappiness=st.integers(-1, 100))
restarts = st.builds(
    RestartPolicy,
    condition=st.sampled_from(RestartCondition),
    delay_s=seconds,
    max_attempts=counts,
    window_s=seconds,
    max_delay_s=seconds,
)
affinities = st.builds(
    Affinity, service=words, anti=st.booleans(), required=st.booleans(), topology=words
)
tolerations = st.builds(
    Toleration,
    key=texts,
    value=texts,
    any_value=st.booleans(),
    effects=several(st.sampled_from(TaintEffect)),
)
placements = st.builds(
    Placement,
    constraints=lists,
    max_replicas_per_node=counts,
    preferences=lists,
    platforms=several(st.builds(Platform, os=words, arch=texts)),
    affinities=several(affinities),
    tolerations=several(tolerations),
    strategy=st.sampled_from(Strategy),
)
tasks = st.builds(
    TaskSpec,
    container=containers,
    limits=limits,
    reservations=st.builds(Resources, cpu_millis=counts, memory_bytes=amounts, generic=generics),
    restart=restarts | st.just(RestartPolicy()),
    placement=placements,
    networks=several(
        st.builds(NetworkAttachment, target=words, aliases=lists, driver_options=tables),
        lambda each: each.target,
    ),
    force_update=st.integers(0, 2**63 - 1),
    log_driver=st.builds(LogDriver, name=texts, options=tables),
    priority=st.integers(-(2**31), 2**31 - 1),
    depends_on=several(
        st.builds(Dependency, service=words, condition=st.sampled_from(DependencyCondition))
    ),
)
policies = st.builds(
    UpdatePolicy,
    parallelism=counts,
    delay_s=seconds,
    order=st.sampled_from(UpdateOrder),
    monitor_s=seconds,
    max_failure_ratio=st.floats(0, 1),
    failure_action=st.sampled_from(FailureAction),
    canary=counts,
) | st.just(UpdatePolicy())
ports = st.builds(
    Port,
    target=st.integers(0, 65535),
    published=st.integers(0, 65535),
    protocol=st.sampled_from(Protocol),
    mode=st.sampled_from(PublishMode),
    ip=st.sampled_from(["", "192.0.2.1"]),
    name=texts,
)
modes = (
    st.builds(Replicated, replicas=counts)
    | st.just(Global())
    | st.builds(ReplicatedJob, max_concurrent=counts, total=counts)
    | st.just(GlobalJob())
)
schedules = st.builds(
    Schedule,
    expression=words,
    timezone=texts,
    catchup=st.sampled_from(Catchup),
    concurrency=st.sampled_from(Concurrency),
    keep_completed=counts,
    keep_failed=counts,
)
autoscales = st.builds(
    Autoscale,
    least=counts,
    most=st.integers(1, 2**31 - 1),
    cpu_percent=st.floats(0, 1000),
    memory_percent=st.floats(0, 1000),
    query=texts,
    target=st.floats(0, 1000),
    up_window_s=seconds,
    down_window_s=seconds,
)
specs = st.builds(
    ServiceSpec,
    name=words,
    labels=tables,
    mode=modes,
    task=tasks,
    update=policies,
    rollback=policies,
    schedule=st.none() | schedules,
    autoscale=st.none() | autoscales,
    endpoint=st.builds(
        EndpointSpec,
        mode=st.sampled_from(EndpointMode),
        ports=several(ports, lambda p: (p.target, p.published, p.protocol, p.mode)),
    ),
    max_unavailable=counts,
)
