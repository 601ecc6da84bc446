"""Made-up names are good names."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from swarm.checks import check_service
from swarm.specs import ContainerSpec, ServiceSpec, TaskSpec
from swarmctl.names import make_name


@given(st.randoms(use_true_random=False))
def test_law_every_name_may_be_a_services_name(random: Random) -> None:
    spec = ServiceSpec(
        name=make_name(random), task=TaskSpec(container=ContainerSpec(image="busybox"))
    )

    assert check_service(spec) == ()
