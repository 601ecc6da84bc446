"""Volumes, secrets and configs are called as the swarm is to call them."""

import pytest

from swarm.errors import Invalid
from swarmctl.stacks.resources import Content, Source
from tests.swarmctl.stacks.reading import stack

MARK = {"com.docker.stack.namespace": "s"}
WEB = "services: {web: {image: x, secrets: [a, b, c], configs: [d]}}\n"


def test_contents_have_one_origin_and_the_stacks_label() -> None:
    found = stack(
        WEB + "secrets: {a: {file: ./a, labels: {x: y}}, b: {environment: B, name: own},"
        " c: {external: {name: old}}, unused: {file: f}}\n"
        "configs: {d: {content: text, template_driver: golang}}"
    )

    assert found.secrets == (
        Content(name="s_a", source=Source.FILE, origin="./a", labels={"x": "y", **MARK}),
        Content(name="own", source=Source.ENVIRONMENT, origin="B", labels=MARK),
        Content(name="old"),
    )
    assert found.configs == (
        Content(
            name="s_d", source=Source.CONTENT, origin="text", labels=MARK, template_driver="golang"
        ),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("secrets: {a: }", "secrets.a: needs one of file, environment and content"),
        ("secrets: {a: {file: x, content: y}}", "secrets.a: needs one of"),
        ("secrets: {a: {file: x, driver: y}}", "secrets.a.driver: there are no drivers"),
        ("secrets: {a: {external: true, file: x}}", "secrets.a.file: means nothing for what is"),
        ("volumes: {a: {external: true, driver: x}}", "volumes.a.driver: means nothing"),
        ("volumes: {a: {colour: red}}", "volumes.a.colour: there is no such key"),
        ("colours: {}", "colours: there is no such key"),
        ("services: ", "services: there is none"),
        ("services: {web: {}}", "services.web.image: must not be empty"),
        ("services: {'a b': {image: x}}", "services.a b: 's_a b' must be letters"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(text: str, problem: str) -> None:
    whole = text if text.startswith("services") else f"services: {{web: {{image: x}}}}\n{text}"

    with pytest.raises(Invalid) as caught:
        stack(whole)

    assert caught.value.problems[0].startswith(problem)
