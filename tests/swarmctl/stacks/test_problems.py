"""Problems of specs are told in the words of the stack file."""

import pytest

from swarm.errors import Invalid, Refused
from swarmctl.stacks.problems import located, relocated


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ("task.container.image: no", "services.web.image: no"),
        ("task.container.stop_grace_s: no", "services.web.stop_grace_period: no"),
        ("task.container.mounts[2].source: no", "services.web.volumes[2].source: no"),
        ("task.container.health.interval_s: no", "services.web.healthcheck.interval: no"),
        ("task.limits.cpu_millis: no", "services.web.deploy.resources.limits.cpus: no"),
        ("update.delay_s: no", "services.web.deploy.update_config.delay: no"),
        ("endpoint.ports[0]: no", "services.web.ports[0]: no"),
        ("name: no", "services.web: no"),
        ("labels[a b]: no", "services.web.deploy.labels[a b]: no"),
        (
            "endpoint.ports[0]: with --network host",
            "services.web.ports[0]: with `networks: [host]`",
        ),
        (
            "endpoint.ports[0].mode: no; write mode=host,target=80,published=80",
            "services.web.ports[0].mode: no; write {target: 80, published: 80, mode: host}",
        ),
        ("task.log_driver.name: no", "services.web.logging.driver: no"),
        ("task.log_driver.options[a]: no", "services.web.logging.options[a]: no"),
        ("something else", "services.web: something else"),
    ],
)
def test_a_path_of_a_spec_becomes_a_key_of_the_file(problem: str, told: str) -> None:
    assert located("web", problem) == told


def test_a_managers_refusal_keeps_its_hint() -> None:
    error = Invalid("task.container.image: no", hint="do", problems=("task.networks: no",))

    found = relocated(error, "web")

    assert (found.message, found.hint) == ("services.web.image: no", "do")
    assert found.problems == ("services.web.networks: no",)


def test_what_somebody_else_has_is_told_with_the_key() -> None:
    error = Refused("endpoint.ports[0].published: 80/tcp is published by service api", hint="no")

    found = relocated(error, "web")

    assert isinstance(found, Refused)
    assert found.message == "services.web.ports[0].published: 80/tcp is published by service api"
