"""Make up names for services that were given none."""

from random import Random

_QUALITIES = (
    "able agile amber ample brave brief bright brisk calm candid civil clear clever cosmic crisp "
    "daring deft eager early exact fair fleet fluent frank fresh gentle glad golden grand handy "
    "hardy honest humble ideal jolly keen kind lively loyal lucid lucky mellow merry mighty modest "
    "neat nimble noble patient plucky polite prompt proud quick quiet ready robust serene sharp "
    "sincere sleek smooth snug solid steady stellar sturdy sunny swift tidy trusty upbeat vivid "
    "warm wise witty zesty"
)
_THINGS = (
    "acorn anchor apricot badger beacon beaver birch breeze brook bumblebee canyon cedar cobalt "
    "comet copper coral cricket delta dolphin dune eagle ember falcon fern finch fjord forest "
    "gecko glacier grove harbor harvest heron honeycomb island ivory jasper juniper kestrel lagoon "
    "lantern lark lemur lilac lynx maple marble meadow mesa meteor nectar nettle nova oak oasis "
    "orchid osprey otter pebble pine planet poplar prairie puffin quartz raven reef ridge river "
    "robin saffron salmon sparrow spruce summit swallow thistle timber tulip valley walnut willow "
    "wren zephyr"
)


def make_name(random: Random) -> str:
    """A name such as `brave_otter`."""
    return f"{random.choice(_QUALITIES.split())}_{random.choice(_THINGS.split())}"
