"""Every flag does what it says, or is refused with a reason; and none is forgotten."""

import pytest

from tests.flags import commands
from tests.flags.lab import Lab
from tests.flags.rows import ROWS
from tests.flags.table import Row

# What Docker has, by docker/cli 29.
BOTH = """
    cap-add cap-drop credential-spec detach endpoint-mode entrypoint health-cmd health-interval
    health-retries health-start-interval health-start-period health-timeout hostname init isolation
    limit-cpu limit-memory limit-pids log-driver log-opt max-concurrent memory-swap
    memory-swappiness no-healthcheck no-resolve-image oom-score-adj quiet read-only replicas
    replicas-max-per-node reserve-cpu reserve-memory restart-condition restart-delay
    restart-max-attempts restart-window rollback-delay rollback-failure-action
    rollback-max-failure-ratio rollback-monitor rollback-order rollback-parallelism
    stop-grace-period stop-signal tty update-delay update-failure-action update-max-failure-ratio
    update-monitor update-order update-parallelism user with-registry-auth workdir
"""
LISTS = """
    config constraint container-label dns dns-option dns-search env generic-resource group host
    label mount network placement-pref publish secret sysctl ulimit
"""
PAIRS = " ".join(f"{name}-{verb}" for name in LISTS.split() for verb in ("add", "rm"))
LISTING, TASKS = "filter format quiet", "filter format no-resolve no-trunc quiet"
DOCKERS = {
    "service create": f"{BOTH} {LISTS} env-file mode name",
    "service update": f"{BOTH} {PAIRS} args force image rollback",
    "service inspect": "format pretty",
    "service logs": "details follow no-resolve no-task-ids no-trunc raw since tail timestamps",
    "service ls": LISTING,
    "service ps": TASKS,
    "service rollback": "detach quiet",
    "service scale": "detach",
    "node inspect": "format pretty",
    "node ls": LISTING,
    "node ps": TASKS,
    "node rm": "force",
    "node update": "availability label-add label-rm role",
    "init": """
        advertise-addr autolock availability cert-expiry data-path-addr data-path-port
        default-addr-pool default-addr-pool-mask-length dispatcher-heartbeat external-ca
        force-new-cluster listen-addr task-history-limit
    """,
    "join": "advertise-addr availability data-path-addr listen-addr token",
    "join-token": "quiet rotate",
    "leave": "force",
    "update": "autolock cert-expiry dispatcher-heartbeat external-ca task-history-limit",
    "stack config": "compose-file skip-interpolation",
    "stack deploy": "compose-file detach prune quiet resolve-image with-registry-auth",
    "stack ls": "format",
    "stack ps": TASKS,
    "stack rm": "detach",
    "stack services": LISTING,
    "secret create": "driver label template-driver",
    "secret inspect": "format pretty",
    "secret ls": LISTING,
    "config create": "label template-driver",
    "config inspect": "format pretty",
    "config ls": LISTING,
    "network connect": "alias driver-opt gw-priority ip ip6 link link-local-ip",
    "network create": """
        attachable aux-address driver gateway ingress internal ip-range ipam-driver ipv6 label opt
        scope subnet
    """,
    "network disconnect": "force",
    "network inspect": "format verbose",
    "network ls": f"{LISTING} no-trunc",
    "network prune": "filter force",
    "network rm": "force",
    "volume create": "driver label opt",
    "volume inspect": "format",
    "volume ls": LISTING,
    "volume prune": "all filter force",
    "volume rm": "force",
    "attach": "detach-keys no-stdin sig-proxy",
    "exec": "detach detach-keys env env-file interactive privileged tty user workdir",
    "events": "filter format since until",
    "stats": "all format no-stream no-trunc",
}
SHORT = {"-d", "-e", "-l", "-p", "-q", "-t", "-u", "-w"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_flag_does_what_it_says(row: Row, lab: Lab) -> None:
    row.proof.look(lab, row.flag)


@pytest.mark.parametrize("name", commands.NAMES, ids=lambda name: name or "swarmctl")
def test_every_flag_has_a_proof(name: str) -> None:
    proven = {row.flag for row in ROWS if row.command == name}

    assert set(commands.flags_of(name)) == proven


@pytest.mark.parametrize("name", DOCKERS)
def test_every_flag_of_docker_is_there(name: str) -> None:
    assert {f"--{each}" for each in DOCKERS[name].split()} <= set(commands.flags_of(name))


def test_create_has_dockers_letters() -> None:
    flags = commands.flags_of("service create")
    letters = {each for name in flags for each in commands.spellings("service create", name)}

    assert letters >= SHORT


def test_no_flag_is_proven_twice() -> None:
    ids = [row.id for row in ROWS]

    assert len(ids) == len(set(ids))
