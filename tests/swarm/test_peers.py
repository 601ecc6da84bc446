import pytest

from swarm.certificates import certificate_pem, load_certificate, public_bytes
from swarm.errors import Refused
from swarm.peers import (
    Recognition,
    Standing,
    check_dates,
    identify,
    identify_node,
    limited,
)
from swarm.specs import Role
from swarm.tokens import anchor_of, parse_token
from tests.trust import Swarm, forge

NOW = 1_800_000_000.0


def _anchor(swarm: Swarm, role: Role):
    return anchor_of(parse_token(swarm.token(role)))


@pytest.mark.parametrize(
    ("role", "standing"), [(Role.WORKER, Standing.WORKER), (Role.MANAGER, Standing.MANAGER)]
)
def test_a_node_is_who_its_certificate_says(role: Role, standing: Standing) -> None:
    swarm = Swarm(NOW)
    identity = swarm.node(role, "node7")

    peer = identify(identity.certificate, swarm.anchors)

    assert (peer.node_id, peer.standing, peer.role) == ("node7", standing, role)
    assert not peer.is_joining


@pytest.mark.parametrize(
    ("role", "standing"),
    [(Role.WORKER, Standing.JOINING_WORKER), (Role.MANAGER, Standing.JOINING_MANAGER)],
)
def test_a_joiners_role_is_that_of_its_token(role: Role, standing: Standing) -> None:
    swarm = Swarm(NOW)
    joiner = swarm.joiner(role)

    peer = identify(joiner.certificate, swarm.anchors)

    assert (peer.node_id, peer.standing, peer.role) == ("", standing, role)
    assert peer.public_key == public_bytes(load_certificate(joiner.certificate).public_key())


@pytest.mark.parametrize("claimed", ["swarm-manager", "swarm-worker", "swarm-join"])
def test_a_worker_token_makes_a_joining_worker_whatever_its_holder_writes(claimed: str) -> None:
    """A token is a signing key, so its holder can write any subject.

    1. The attacker has the worker token, hence the anchor's key.
    2. It signs itself a certificate with a manager's CN, OU and O.
    3. It is still no more than someone invited as a worker.
    """
    swarm = Swarm(NOW)
    anchor = _anchor(swarm, Role.WORKER)
    _, forged = forge(anchor.key, anchor.certificate, now=NOW, ou=claimed)

    peer = identify(forged, swarm.anchors)

    assert peer.standing is Standing.JOINING_WORKER
    assert peer.node_id == ""


def test_an_anchor_cannot_sign_in_the_roots_name() -> None:
    swarm = Swarm(NOW)
    anchor = _anchor(swarm, Role.MANAGER)
    _, forged = forge(anchor.key, swarm.anchors.root, now=NOW, ou="swarm-manager")

    with pytest.raises(Refused, match="another swarm or of a join token that was rotated"):
        identify(forged, swarm.anchors)


def test_an_anchor_cannot_appoint_another_signer() -> None:
    swarm = Swarm(NOW)
    anchor = _anchor(swarm, Role.WORKER)
    key, between = forge(
        anchor.key, anchor.certificate, now=NOW, ou="swarm-manager", is_authority=True
    )
    _, forged = forge(key, load_certificate(between), now=NOW, ou="swarm-manager")

    for certificate in (between, forged, certificate_pem(anchor.certificate)):
        with pytest.raises(Refused):
            identify(certificate, swarm.anchors)


def test_a_rotated_token_is_nobodys() -> None:
    swarm = Swarm(NOW)
    joiner, other = swarm.joiner(Role.WORKER), swarm.joiner(Role.MANAGER)
    recognition = Recognition()
    assert recognition.identify(joiner.certificate, swarm.anchors).is_joining

    swarm.rotate(Role.WORKER)

    with pytest.raises(Refused, match="rotated"):
        recognition.identify(joiner.certificate, swarm.anchors)
    assert recognition.identify(other.certificate, swarm.anchors).is_joining


def test_a_node_of_another_swarm_is_nobodys() -> None:
    swarm, other = Swarm(NOW), Swarm(NOW, seed=2)

    with pytest.raises(Refused):
        identify(other.node().certificate, swarm.anchors)


def test_a_subject_that_names_another_swarm_is_refused() -> None:
    swarm = Swarm(NOW)
    key = swarm.founded.authority.key
    _, odd = forge(key, swarm.anchors.root, now=NOW, ou="swarm-worker", organization="else")

    with pytest.raises(Refused, match="belongs to swarm else"):
        identify(odd, swarm.anchors)


def test_a_root_signed_subject_without_a_role_is_refused() -> None:
    swarm = Swarm(NOW)
    _, odd = forge(swarm.founded.authority.key, swarm.anchors.root, now=NOW, ou="swarm-king")

    with pytest.raises(Refused, match="names no role"):
        identify(odd, swarm.anchors)


def test_dates_are_judged_on_every_call() -> None:
    peer = identify(Swarm(NOW).node(expiry_s=100.0).certificate, Swarm(NOW).anchors)

    check_dates(peer, now=NOW)
    check_dates(peer, now=NOW + 100)
    with pytest.raises(Refused, match="expired 5 s ago"):
        check_dates(peer, now=NOW + 105)
    with pytest.raises(Refused, match="begins in 90 s"):
        check_dates(peer, now=NOW - 100)


def test_the_lesser_of_certificate_and_wanted_role_counts() -> None:
    swarm = Swarm(NOW)
    manager = identify(swarm.node(Role.MANAGER).certificate, swarm.anchors)
    worker = identify(swarm.node(Role.WORKER).certificate, swarm.anchors)

    assert limited(manager, Role.WORKER).standing is Standing.WORKER
    assert limited(manager, Role.MANAGER).standing is Standing.MANAGER
    assert limited(worker, Role.MANAGER).standing is Standing.WORKER
    with pytest.raises(Refused, match="node node1 is not part of this swarm"):
        limited(worker, None)


def test_memory_of_callers_is_bounded_and_holds_no_refusals() -> None:
    swarm, other, recognition = Swarm(NOW), Swarm(NOW, seed=2), Recognition(room=2)

    for number in range(5):
        identity = swarm.node(node_id=f"node{number}")
        first = recognition.identify(identity.certificate, swarm.anchors)
        assert recognition.identify(identity.certificate, swarm.anchors) is first
        with pytest.raises(Refused):
            recognition.identify(other.node().certificate, swarm.anchors)

    assert len(recognition) == 1


def test_among_nodes_alone_a_node_is_the_same() -> None:
    swarm = Swarm(NOW)
    identity = swarm.node(Role.MANAGER, "node7")

    peer = identify_node(identity.certificate, swarm.anchors.root)

    assert peer == identify(identity.certificate, swarm.anchors)


def test_among_nodes_alone_nobody_else_is_anybody() -> None:
    """A token's holder, whatever it writes; a node of another swarm; an authority."""
    swarm, other = Swarm(NOW), Swarm(NOW, seed=2, name="swarm2")
    anchor = _anchor(swarm, Role.MANAGER)
    _, forged = forge(anchor.key, anchor.certificate, now=NOW, ou="swarm-manager")
    strangers = (
        forged,
        swarm.joiner(Role.MANAGER).certificate,
        other.node(Role.MANAGER).certificate,
        certificate_pem(swarm.anchors.root),
        b"",
    )

    for pem in strangers:
        with pytest.raises(Refused):
            identify_node(pem, swarm.anchors.root)
