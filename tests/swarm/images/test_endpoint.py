"""The wire to a registry is trusted only if it is local or listed."""

import pytest

from swarm.images.endpoint import Endpoint, endpoint_of


@pytest.mark.parametrize(
    ("registry", "url"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("quay.io", "https://quay.io"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.3.2.1:5000", "http://127.3.2.1:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("reg.localhost", "http://reg.localhost"),
        ("10.0.0.5:5000", "https://10.0.0.5:5000"),
        ("localhost.example.com", "https://localhost.example.com"),
        ("127.0.0.1.example.com", "https://127.0.0.1.example.com"),
    ],
)
def test_only_this_machine_is_spoken_to_in_the_clear(registry: str, url: str) -> None:
    assert endpoint_of(registry).url == url


@pytest.mark.parametrize("listed", ["10.0.0.5:5000", "10.0.0.5", "10.0.0.0/8"])
def test_a_listed_registry_may_be_plain(listed: str) -> None:
    found = endpoint_of("10.0.0.5:5000", insecure=(listed,))

    assert found == Endpoint("http://10.0.0.5:5000", secure=False, local=False)


@pytest.mark.parametrize("listed", ["10.0.0.5:5001", "10.0.0.6", "11.0.0.0/8", "nonsense/x"])
def test_a_near_miss_in_the_list_does_not_count(listed: str) -> None:
    assert endpoint_of("10.0.0.5:5000", insecure=(listed,)).secure
