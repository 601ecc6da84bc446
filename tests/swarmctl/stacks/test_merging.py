"""Later files are laid over earlier ones."""

from swarmctl.stacks.documents import Value
from swarmctl.stacks.merging import merged
from tests.swarmctl.stacks.reading import document


def both(earlier: str, later: str) -> Value:
    """The service `web` of two files."""
    one, other = (document(f"services: {{web: {each}}}") for each in (earlier, later))
    services = merged(one, other)["services"]
    assert isinstance(services, dict)
    return services["web"]


def test_services_of_both_files_are_there() -> None:
    found = merged(document("services: {a: {image: x}}"), document("services: {b: {image: y}}"))

    assert found == {"services": {"a": {"image": "x"}, "b": {"image": "y"}}}


def test_single_values_are_replaced_unless_they_are_null() -> None:
    assert both("{image: a, tty: true}", "{image: b, tty: null}") == {"image": "b", "tty": True}


def test_lists_and_mappings_of_pairs_are_merged_by_name() -> None:
    found = both("{environment: [A=1, B], labels: {x: y}}", "{environment: {A: 2}, labels: [x=z]}")

    assert found == {"environment": {"A": 2, "B": None}, "labels": {"x": "z"}}


def test_lists_are_joined_by_what_they_are_about() -> None:
    found = both(
        "{volumes: ['a:/x', /y], secrets: [k], dns: [1.1.1.1], ports: [{target: 1}]}",
        "{volumes: ['b:/x:ro'], secrets: [{source: k, uid: 3}, j], dns: [1.1.1.1, 2.2.2.2],"
        " ports: [{target: 1, published: 3}]}",
    )

    assert found == {
        "volumes": ["b:/x:ro", "/y"],
        "secrets": [{"source": "k", "uid": 3}, "j"],
        "dns": ["1.1.1.1", "2.2.2.2"],
        "ports": [{"target": 1}, {"target": 1, "published": 3}],
    }


def test_a_command_is_one_value() -> None:
    found = both(
        "{command: [a, b], healthcheck: {test: [CMD, a], retries: 3}}",
        "{command: [c], healthcheck: {test: [CMD, b]}}",
    )

    assert found == {"command": ["c"], "healthcheck": {"test": ["CMD", "b"], "retries": 3}}


def test_options_of_one_log_driver_are_not_those_of_another() -> None:
    one = "{logging: {driver: json-file, options: {a: 1}}}"

    assert both(one, "{logging: {options: {b: 2}}}") == {
        "logging": {"driver": "json-file", "options": {"a": 1, "b": 2}}
    }
    assert both(one, "{logging: {driver: none}}") == {"logging": {"driver": "none"}}


def test_a_service_may_be_called_like_a_key() -> None:
    one = document("services: {command: {image: a, tty: true}}")
    other = document("services: {command: {image: b}}")

    assert merged(one, other) == {"services": {"command": {"image": "b", "tty": True}}}
