import struct

from hypothesis import given
from hypothesis import strategies as st

from runtime.cgroups import devices
from runtime.cgroups.devices import ALLOWED, Rule

_ACCESS = {"m": 1, "r": 2, "w": 4}


def run(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """A machine for the few instructions that device programs consist of."""
    registers = [0] * 11
    context = (sum(_ACCESS[x] for x in access) << 16 | {"b": 1, "c": 2}[kind], major, minor)
    at = 0
    while True:
        code, both, offset, value = struct.unpack_from("<BBhi", program, at * 8)
        target, source = both & 15, both >> 4
        at += 1
        match code:
            case 0x61:
                registers[target] = context[offset // 4]
            case 0xB7:
                registers[target] = value
            case 0xBF:
                registers[target] = registers[source]
            case 0x57:
                registers[target] &= value
            case 0x77:
                registers[target] >>= value
            case 0x55:
                at += offset if registers[target] != value else 0
            case 0x5D:
                at += offset if registers[target] != registers[source] else 0
            case 0x95:
                return bool(registers[0])
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def test_v1_denies_all_and_then_allows_line_by_line() -> None:
    deny, allow = devices.v1((Rule("c", 1, 3, "rwm"), Rule("b", -1, 5, "m")))

    assert (deny.file, deny.values) == ("devices.deny", ("a",))
    assert (allow.file, allow.values) == ("devices.allow", ("c 1:3 rwm", "b *:5 m"))


def test_the_program_allows_the_usual_devices_and_no_disk() -> None:
    program = devices.v2(ALLOWED)

    assert run(program, "c", 1, 3, "rw")
    assert run(program, "c", 136, 77, "rw")
    assert run(program, "b", 254, 0, "m")
    assert not run(program, "b", 254, 0, "r")
    assert not run(program, "b", 254, 0, "rm")
    assert not run(program, "c", 10, 200, "rw")


rules = st.lists(
    st.builds(
        Rule,
        st.sampled_from("bc"),
        st.integers(-1, 3),
        st.integers(-1, 3),
        st.sampled_from(["m", "r", "rw", "rwm", "wm"]),
    ),
    max_size=6,
).map(tuple)


@given(
    rules,
    st.sampled_from("bc"),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(["m", "r", "w", "rw", "rwm"]),
)
def test_law_the_program_says_what_the_rules_say(
    rules: tuple[Rule, ...], kind: str, major: int, minor: int, access: str
) -> None:
    expected = any(
        rule.kind == kind
        and rule.major in (-1, major)
        and rule.minor in (-1, minor)
        and set(access) <= set(rule.access)
        for rule in rules
    )

    assert run(devices.v2(rules), kind, major, minor, access) == expected
