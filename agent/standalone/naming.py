"""Name containers, and find them by what people type.

A name is theirs or made up of two words, an adjective and somebody's or something's name; after
a few tries that were taken, a number comes behind. A container is meant by its id, by its name
with or without a slash before it, or by the beginning of its id if no other id begins like that,
in this order.
"""

# Words are read best as text.
# ruff: noqa: SIM905

import re
from collections.abc import Container, Iterable
from random import Random

from swarm.errors import Invalid, Missing, Refused

ID_LENGTH = 64
SHORT_ID = 12
TRIES = 5
RULE = "[a-zA-Z0-9][a-zA-Z0-9_.-]"

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

_ADJECTIVES = (
    "able airy ample awake balmy bold brave breezy bright brisk broad busy calm candid careful "
    "cheery civil clear clever cosy crisp curious daring deft eager early easy even exact fair "
    "famous fancy fast fine firm fluent fond frank free fresh full gentle glad golden grand "
    "handy happy hardy honest humble ideal jolly keen kind lively loyal lucid lucky mellow merry "
    "mild modest neat nimble noble patient plain polite prompt proud quick quiet rapid ready "
    "robust rosy serene sharp shiny silent silver simple sleek smart smooth snug sober solid "
    "spry stable steady stoic stout strong subtle sunny sure swift tender thrifty tidy tough "
    "tranquil true trusty upbeat vivid warm wise witty zesty"
).split()
_NOUNS = (
    "acorn alder amber anchor aspen aster badger basil beacon beech birch bison bobbin breeze "
    "brook canoe canyon cedar cherry clover comet condor coral cove crane cricket daisy dolphin "
    "dune eagle elm ember falcon fern finch fjord forest fox garnet gecko geyser ginkgo glacier "
    "grove gull harbor hawk hazel heron hickory ibex indigo iris island jasper juniper kelp "
    "kestrel kiwi lagoon lantern larch lark laurel lemur lichen lilac linden lotus lynx magpie "
    "maple marlin marmot meadow mesa minnow moss nectar nutmeg oak ocean olive onyx orca orchid "
    "osprey otter owl pebble pelican pine plover poplar puffin quail quartz raven reef robin "
    "rowan saffron sage salmon sequoia sparrow spruce stork summit swallow tamarin teal thistle "
    "thrush tulip tundra turtle valley violet walnut willow wren yarrow zebra"
).split()


def make_id(random: Random, taken: Container[str] = ()) -> str:
    """64 hexadecimal digits; the first twelve are no number, since a host may be called so."""
    while True:
        found = f"{random.getrandbits(4 * ID_LENGTH):0{ID_LENGTH}x}"
        if found not in taken and not found[:SHORT_ID].isdecimal():
            return found


def made_up(random: Random, taken: Container[str]) -> str:
    """A name that nobody has."""
    for tried in range(TRIES):
        name = f"{random.choice(_ADJECTIVES)}_{random.choice(_NOUNS)}"
        if tried:
            name += str(random.randrange(10**tried))
        if name not in taken:
            return name
    while (name := f"container_{random.getrandbits(48):012x}") in taken:
        pass
    return name


def checked(name: str) -> str:
    """The name without its slash; `Invalid` when containers cannot be called so."""
    plain = name.removeprefix("/")
    if not _NAME.fullmatch(plain):
        raise Invalid(f"Invalid container name ({name}), only {RULE} are allowed")
    return plain


def conflict(name: str, container_id: str) -> Refused:
    """What is said where another container has the name."""
    return Refused(
        f'Conflict. The container name "/{name}" is already in use by container '
        f'"{container_id}". You have to remove (or rename) that container to be able to reuse '
        "that name."
    )


def meant(text: str, ids: Iterable[str], by_name: dict[str, str]) -> str:
    """The id of the container that `text` means; `by_name` has every name without a slash."""
    known = frozenset(ids)
    if text in known:
        return text
    if (found := by_name.get(text.removeprefix("/"))) is not None:
        return found
    begin = [each for each in known if each.startswith(text)] if text else []
    if len(begin) > 1:
        raise Invalid(f"multiple IDs found with provided prefix: {text}")
    if not begin:
        raise Missing(f"No such container: {text}")
    return begin[0]
