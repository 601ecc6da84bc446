import struct

from hypothesis import given
from hypothesis import strategies as st

from runtime.cgroups import device_program, devices
from runtime.cgroups.devices import USUAL, read_rules
from runtime.cgroups.setting import Refusal
from runtime.oci.config import DeviceRule

_ACCESS = {"m": 1, "r": 2, "w": 4}


def decide(rules: tuple[DeviceRule, ...], kind: str, major: int, minor: int, access: str) -> bool:
    """The rule of rules: for each kind of access, the last one that fits."""

    def last(letter: str) -> bool:
        verdict = False
        for rule in rules:
            if (
                rule.type in ("a", kind)
                and rule.major in (None, major)
                and rule.minor in (None, minor)
                and letter in (rule.access or "rwm")
            ):
                verdict = rule.allow
        return verdict

    return all(last(letter) for letter in access)


def run(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """A machine for the few instructions that device programs consist of."""
    registers = [0] * 11
    context = (sum(_ACCESS[x] for x in access) << 16 | {"b": 1, "c": 2}[kind], major, minor)
    at = 0
    while True:
        code, both, offset, value = struct.unpack_from("<BBhi", program, at * 8)
        target, source = both & 15, both >> 4
        assert source in (0, 1)
        at += 1
        match code:
            case 0x61:
                registers[target] = context[offset // 4]
            case 0xB7:
                registers[target] = value
            case 0x57:
                registers[target] &= value & (2**64 - 1)
            case 0x77:
                registers[target] >>= value
            case 0x05:
                at += offset
            case 0x56:
                at += offset if registers[target] & 0xFFFFFFFF != value & 0xFFFFFFFF else 0
            case 0x46:
                at += offset if registers[target] & value & 0xFFFFFFFF else 0
            case 0x95:
                return bool(registers[0])
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


class V1Group:
    """What the kernel keeps of what is written, from security/device_cgroup.c's description.

    A default, and exceptions from it by their exact numbers. Where all is denied, one
    exception has to allow the whole access; where all is allowed, any one forbids.
    """

    def __init__(self) -> None:
        self.allows = True
        self.exceptions: dict[tuple[str, str], set[str]] = {}

    def write(self, file: str, line: str) -> None:
        allow = file == "devices.allow"
        if line == "a":
            self.allows, self.exceptions = allow, {}
            return
        kind, numbers, access = line.split(" ")
        before = self.exceptions.get((kind, numbers), set())
        after = before - set(access) if allow is self.allows else before | set(access)
        self.exceptions[kind, numbers] = after

    def decide(self, kind: str, major: int, minor: int, access: str) -> bool:
        fitting = [
            letters
            for (each, numbers), letters in self.exceptions.items()
            if each == kind
            and numbers.split(":")[0] in ("*", str(major))
            and numbers.split(":")[1] in ("*", str(minor))
        ]
        if self.allows:
            return not any(letters & set(access) for letters in fitting)
        return any(set(access) <= letters for letters in fitting)


def allow(kind: str, major: int | None, minor: int | None, access: str) -> DeviceRule:
    return DeviceRule(allow=True, type=kind, major=major, minor=minor, access=access)


def test_v1_denies_all_and_then_allows_line_by_line() -> None:
    found = devices.v1(read_rules((allow("c", 1, 3, "rwm"), allow("b", None, 5, "m"))))

    assert [(each.file, each.values) for each in found if not isinstance(each, Refusal)] == [
        ("devices.deny", ("a",)),
        ("devices.allow", ("c 1:3 rwm", "b *:5 m")),
    ]


def test_the_usual_devices_are_allowed_and_no_disk() -> None:
    program = device_program.assemble(read_rules(USUAL))

    assert run(program, "c", 1, 3, "rw")
    assert run(program, "c", 136, 77, "rw")
    assert run(program, "b", 254, 0, "m")
    assert not run(program, "b", 254, 0, "r")
    assert not run(program, "b", 254, 0, "rm")
    assert not run(program, "c", 10, 200, "rw")


def test_a_rule_for_all_makes_those_before_it_irrelevant() -> None:
    """As podman and Docker write it: deny all, then allow one by one."""
    deny_all = DeviceRule(allow=False, access="rwm")

    found = read_rules((allow("b", 8, 0, "rwm"), deny_all, allow("c", 1, 3, "r")))

    assert not found.allow
    assert [each.major for each in found.rules] == [1]


def test_everything_can_be_allowed_but_some() -> None:
    everything = DeviceRule(allow=True, access="rwm")
    but = DeviceRule(allow=False, type="b", major=8, access="w")

    found = devices.v1(read_rules((everything, but)))

    assert [(each.file, each.values) for each in found if not isinstance(each, Refusal)] == [
        ("devices.allow", ("a",)),
        ("devices.deny", ("b 8:* w",)),
    ]


def test_a_rule_of_any_kind_that_names_an_access_is_not_for_everything() -> None:
    """Else `allow a m`, which makes nodes, would open every disk."""
    found = read_rules((DeviceRule(allow=True, access="m"),))

    assert not found.allow
    assert [(each.kind, each.access) for each in found.rules] == [
        ("b", frozenset("m")),
        ("c", frozenset("m")),
    ]


def test_v1_refuses_what_it_cannot_express_and_says_which() -> None:
    rules = (allow("c", 1, None, "rw"), DeviceRule(allow=False, type="c", major=1, minor=3))

    (found,) = devices.v1(read_rules(rules))

    assert isinstance(found, Refusal)
    assert "'c 1:3 rwm' after 'c 1:* rw'" in found.reason


numbers = st.one_of(st.none(), st.integers(0, 2))
rules = st.lists(
    st.builds(
        DeviceRule,
        allow=st.booleans(),
        type=st.sampled_from("abbcc"),
        major=numbers,
        minor=numbers,
        access=st.sampled_from(["", "m", "r", "w", "rw", "rwm", "wm"]),
    ),
    max_size=7,
).map(tuple)
accesses = st.tuples(
    st.sampled_from("bc"),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(["m", "r", "w", "rw"]),
)


def test_rules_are_read_as_docker_has_them() -> None:
    assert devices.parse("c 1:3 rwm") == allow("c", 1, 3, "rwm")
    assert devices.parse("b *:* r") == allow("b", None, None, "r")
    assert devices.parse("a 7:* m") == allow("a", 7, None, "m")
    for wrong in ("", "c", "c 1:3", "c 1 rwm", "d 1:3 r", "c 1:3 x", "c -1:3 r", "c 1:3 r w"):
        assert devices.parse(wrong) is None


@given(rules, accesses)
def test_law_the_program_says_what_the_rules_say(
    rules: tuple[DeviceRule, ...], access: tuple[str, int, int, str]
) -> None:
    assert run(device_program.assemble(read_rules(rules)), *access) == decide(rules, *access)


@given(rules, accesses)
def test_law_v1_says_what_the_rules_say_or_refuses(
    rules: tuple[DeviceRule, ...], access: tuple[str, int, int, str]
) -> None:
    group = V1Group()
    for setting in devices.v1(read_rules(rules)):
        if isinstance(setting, Refusal):
            return
        for line in setting.values:
            group.write(setting.file, line)

    assert group.decide(*access) == decide(rules, *access)


@given(st.integers(1 << 31, 1 << 40))
def test_law_numbers_that_no_device_has_fit_none(major: int) -> None:
    program = device_program.assemble(read_rules((allow("c", major, None, "r"),)))

    assert not run(program, "c", 1, 1, "r")
