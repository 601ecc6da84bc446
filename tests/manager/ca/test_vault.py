from random import Random

import pytest
from msgspec.structs import replace

from manager.ca.vault import anchors_of, authority_of, found, rotate, token_of
from swarm.certificates import key_pem, public_bytes, root_digest
from swarm.codec import pack, unpack
from swarm.errors import Refused
from swarm.ids import ClusterId
from swarm.objects import Cluster
from swarm.sealing import make_data_key
from swarm.specs import ClusterSpec, Role

NOW = 1_800_000_000.0
RANDOM = Random(1)
DATA_KEY = make_data_key(RANDOM)
FOUNDED = found(ClusterId("c1"), ClusterSpec(), data_key=DATA_KEY, now=NOW, random=RANDOM)


def test_what_goes_to_etcd_holds_no_secret_in_clear() -> None:
    stored = pack(FOUNDED.cluster)
    authority = FOUNDED.authority
    number = authority.key.private_numbers().private_value.to_bytes(32)

    assert authority.pem in stored
    for secret in (key_pem(authority.key), b"PRIVATE KEY", number, DATA_KEY.secret):
        assert secret not in stored
    for role in Role:
        token = token_of(FOUNDED.cluster, role, DATA_KEY)
        assert token.secret not in stored
        assert token.text.encode() not in stored


def test_every_manager_derives_the_same_from_what_is_stored() -> None:
    stored = unpack(Cluster, pack(FOUNDED.cluster))

    one, two = anchors_of(stored, DATA_KEY), anchors_of(stored, DATA_KEY)

    assert key_pem(authority_of(stored, DATA_KEY).key) == key_pem(FOUNDED.authority.key)
    assert one.root == two.root == FOUNDED.authority.certificate
    for mine, theirs in ((one.worker, two.worker), (one.manager, two.manager)):
        assert public_bytes(mine.public_key()) == public_bytes(theirs.public_key())
    assert public_bytes(one.worker.public_key()) != public_bytes(one.manager.public_key())


@pytest.mark.parametrize("role", Role)
def test_rotating_one_role_leaves_the_other(role: Role) -> None:
    other = Role.WORKER if role is Role.MANAGER else Role.MANAGER

    after = rotate(FOUNDED.cluster, role, data_key=DATA_KEY, now=NOW + 5, random=RANDOM)

    assert token_of(after, role, DATA_KEY) != token_of(FOUNDED.cluster, role, DATA_KEY)
    assert token_of(after, other, DATA_KEY) == token_of(FOUNDED.cluster, other, DATA_KEY)
    assert token_of(after, role, DATA_KEY).root_digest == root_digest(FOUNDED.authority.certificate)
    assert after.updated_at == NOW + 5


def test_sealed_tokens_cannot_change_places() -> None:
    """Who can write to etcd must not be able to hand out a manager's invitation as a worker's."""
    cluster = FOUNDED.cluster
    swapped = replace(cluster, worker_token=cluster.manager_token)

    with pytest.raises(Refused, match="cluster/worker-token is damaged or was moved"):
        token_of(swapped, Role.WORKER, DATA_KEY)


def test_another_swarms_data_key_opens_nothing() -> None:
    with pytest.raises(Refused, match="cluster/root-key is sealed with data key"):
        authority_of(FOUNDED.cluster, make_data_key(Random(2)))


def test_a_missing_part_is_named() -> None:
    with pytest.raises(Refused, match="cluster/root-key is missing"):
        authority_of(replace(FOUNDED.cluster, root_key=None), DATA_KEY)
