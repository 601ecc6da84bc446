import pytest
from msgspec.structs import replace

from agent.build.arguments import Arguments, unused
from agent.build.dockerfile import parse
from agent.build.image import RunConfig, scratch
from agent.build.steps import Directory, Files, Planned, Program, State, plan
from swarm.errors import Invalid
from swarm.images.platform import Platform

PLATFORM = Platform("linux", "amd64")


def state(args: dict[str, str] | None = None, **config: object) -> State:
    document = scratch(PLATFORM)
    run = replace(document.run, **config)
    arguments = Arguments(given=args or {}).stage()
    return State(document=replace(document, config=run), image_id="", arguments=arguments)


def through(text: str, begun: State | None = None) -> tuple[Planned, State]:
    """The last step of a stage, planned; and what there is before it."""
    dockerfile = parse(f"FROM scratch\n{text}\n")
    now = begun or state()
    *before, last = dockerfile.stages[0].steps
    for number, step in enumerate(before):
        planned = plan(step, now, dockerfile.escape)
        now = now.after(planned, created=number, created_by=planned.created_by, diff_id="")
    return plan(last, now, dockerfile.escape), now


def told(text: str, begun: State | None = None) -> str:
    return through(text, begun)[0].created_by


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ENV A=b C=$A", "/bin/sh -c #(nop)  ENV A=b C="),
        ('LABEL a="b c" "d e"=f', "/bin/sh -c #(nop)  LABEL a=b c d e=f"),
        ("WORKDIR /a/../b", "/bin/sh -c #(nop) WORKDIR /b"),
        ("WORKDIR /a\nWORKDIR b", "/bin/sh -c #(nop) WORKDIR /a/b"),
        ("ENV D=/x\nWORKDIR $D", "/bin/sh -c #(nop) WORKDIR /x"),
        ('CMD ["a", "b\\"c"]', '/bin/sh -c #(nop)  CMD ["a" "b\\"c"]'),
        ("CMD a b", '/bin/sh -c #(nop)  CMD ["/bin/sh" "-c" "a b"]'),
        ('SHELL ["x", "-y"]', "x -y #(nop)  SHELL [x -y]"),
        ('SHELL ["x", "-y"]\nRUN a', "x -y a"),
        ("EXPOSE 80 90-91/udp", "/bin/sh -c #(nop)  EXPOSE 80 90-91/udp"),
        ("ENV P='80 81'\nEXPOSE $P", "/bin/sh -c #(nop)  EXPOSE 80 81"),
        ('VOLUME ["/a", "/b c"]', "/bin/sh -c #(nop)  VOLUME [/a /b c]"),
        ("USER a", "/bin/sh -c #(nop)  USER a"),
        ("STOPSIGNAL 9", "/bin/sh -c #(nop)  STOPSIGNAL 9"),
        ("ARG A=1 B", "/bin/sh -c #(nop)  ARG A=1 B"),
        ("RUN a   b", "/bin/sh -c a   b"),
        ('RUN ["a", "b"]', "a b"),
        (
            "HEALTHCHECK --interval=1m --retries=3 CMD x",
            '/bin/sh -c #(nop)  HEALTHCHECK &{["CMD-SHELL" "x"] "1m0s" "0s" "0s" \'\\x03\'}',
        ),
    ],
)
def test_the_history_has_docker_s_words(text: str, words: str) -> None:
    assert told(text) == words


def test_only_arguments_that_were_declared_are_seen() -> None:
    given = state({"A": "given", "B": "undeclared"})

    assert told("ARG A=default\nRUN x", given) == "|1 A=given /bin/sh -c x"
    assert told("ARG A=default\nRUN x") == "|1 A=default /bin/sh -c x"
    assert told("ARG A\nRUN x") == "/bin/sh -c x"
    assert told("ENV C=$B\n", given) == "/bin/sh -c #(nop)  ENV C="
    assert unused({"A": "", "B": "", "http_proxy": ""}, frozenset({"A"})) == ("B",)


def test_the_environment_wins_over_arguments() -> None:
    planned, _ = through("ARG A=arg\nENV A=env\nRUN x")

    assert isinstance(planned.deed, Program)
    assert "A=env" in planned.deed.env
    assert planned.created_by == "/bin/sh -c x"


def test_proxies_are_seen_but_not_told_unless_they_are_declared() -> None:
    given = state({"HTTP_PROXY": "p", "https_proxy": "q"})

    planned, _ = through("RUN x", given)

    assert isinstance(planned.deed, Program)
    assert {"HTTP_PROXY=p", "https_proxy=q"} <= set(planned.deed.env)
    assert planned.created_by == "|0 /bin/sh -c x"
    assert told("ARG HTTP_PROXY\nRUN x", given) == "|1 HTTP_PROXY=p /bin/sh -c x"


def test_an_entrypoint_takes_the_base_s_command_away_but_not_one_of_our_own() -> None:
    base = state(cmd=("base",))

    assert through('ENTRYPOINT ["e"]', base)[0].run.cmd is None
    assert through('CMD ["c"]\nENTRYPOINT ["e"]', base)[0].run.cmd == ("c",)
    assert through("ENTRYPOINT e", base)[0].run.entrypoint == ("/bin/sh", "-c", "e")


def test_files_know_where_they_go() -> None:
    for written, target in (
        ("/x", "/x"), ("/x/", "/x/"), (".", "/w/"), ("./y", "/w/y"), ("../z/", "/z/"), ("/", "/"),
    ):  # fmt: skip
        planned, _ = through(f"WORKDIR /w\nCOPY a {written}")
        assert isinstance(planned.deed, Files)
        assert planned.deed.target == target


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("COPY a b /c", "the destination must be a directory and end with a /"),
        ("COPY http://x/y /c", "source can't be a URL for COPY"),
        ("ADD git@x:y /c", "git repositories cannot be added"),
        ("COPY --chmod=999 a /c", "invalid chmod parameter"),
        ("EXPOSE x", "invalid containerPort: x"),
        ("EXPOSE 80/x", "invalid proto: x"),
        ("EXPOSE 90-80", "invalid containerPort"),
        ("STOPSIGNAL NOSUCH", "no signal"),
        ("ENV A=${B", "missing '}'"),
        ("RUN --mount=type=cache,target=/x,sharing=all a", "unsupported sharing value"),
    ],
)
def test_what_cannot_be_done_is_said(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        through(text)


def test_health_checks_keep_what_is_not_said_again() -> None:
    planned, _ = through("HEALTHCHECK --interval=90s CMD a\nHEALTHCHECK --timeout=1s CMD b")

    assert planned.note == "Note: overriding previous HEALTHCHECK: [CMD-SHELL a]"
    assert planned.run.healthcheck is not None
    assert planned.run.healthcheck.interval == 90_000_000_000
    assert planned.run.healthcheck.timeout == 1_000_000_000


def test_a_workdir_is_made_and_a_description_is_not() -> None:
    assert through("WORKDIR /x")[0].deed == Directory(path="/x")


def test_steps_make_the_same_image_of_the_same() -> None:
    ids = set()
    for _ in range(2):
        planned, now = through("ENV A=1\nLABEL b=c")
        done = now.after(planned, created=5.0, created_by=planned.created_by, diff_id="")
        ids.add(done.image_id)
        assert done.document.deeds[-1].empty_layer
        assert done.document.run == RunConfig(env=(*(now.run.env or ()),), labels={"b": "c"})

    assert len(ids) == 1


def test_tens_of_thousands_of_variables_are_one_step_like_any_other() -> None:
    """They were as many copies of all of them, and the agent did nothing else for minutes."""
    pairs = " ".join(f"a{number}=b" for number in range(30_000))

    planned, _ = through(f"ENV {pairs} a7=c")
    declared, _ = through(f"ARG {pairs}")

    assert len(planned.run.environment) == 30_001
    assert planned.run.environment["a7"] == "c"
    assert declared.arguments.value("a29999") == "b"


def test_a_configuration_that_no_registry_takes_is_refused() -> None:
    with pytest.raises(Invalid, match="the image's configuration would have"):
        through("ENV A=" + "x" * 1_500_000 + "\nLABEL a=$A\nUSER x")
