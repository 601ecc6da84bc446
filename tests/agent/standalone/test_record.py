import pytest

from agent.standalone.life import Life, Removal, Work
from agent.standalone.record import Record, decode, encode, encode_life
from swarm.errors import Invalid
from swarm.images.config import ImageConfig
from swarm.specs import ContainerSpec, Mount
from swarm.standalone import ContainerState, StandaloneSpec

LIFE = Life(state=ContainerState.EXITED, run=2, started_at=3.5, removal=Removal(volumes=True))
RECORD = Record(
    id="a" * 64, image_id="sha256:1", image=ImageConfig(cmd=("sh",)), created_at=2.0,
    spec=StandaloneSpec(name="it", container=ContainerSpec(image="i")),
    mounts=(Mount(source="v", target="/v"),), own_volumes=("v",), life=LIFE,
)  # fmt: skip


def test_what_is_written_is_read() -> None:
    assert decode(encode(RECORD), encode_life(RECORD.life)) == RECORD


def test_what_is_under_way_is_not_written() -> None:
    busy = Life(state=ContainerState.EXITED, started_at=1.0, work=Work.START)
    assert decode(encode(RECORD), encode_life(busy)).life.work is Work.NONE


def test_without_a_life_it_never_began() -> None:
    assert decode(encode(RECORD), b"").life == Life()


@pytest.mark.parametrize("torn", [b'{"state":', b'{"state": 1}', b'{"pid": 5}', b"[]"])
def test_of_a_torn_life_only_its_end_is_known(torn: bytes) -> None:
    found = decode(encode(RECORD), torn).life
    assert found.state is ContainerState.EXITED
    found.check()


def test_what_is_no_container_is_refused() -> None:
    for text in (b"", b"{}", b"[]"):
        with pytest.raises(Invalid):
            decode(text, b"")
