from random import Random

import pytest
from cryptography import x509

from manager.ca.authority import ROOT_LIFE_S, join_halves, make_root
from swarm.certificates import cluster_of, is_issued_by, make_key, validity
from swarm.errors import Refused
from swarm.ids import ClusterId

NOW = 1_800_000_000.0


def test_a_root_signs_itself_and_nodes_only() -> None:
    root = make_root(ClusterId("c1"), now=NOW, random=Random(1)).certificate

    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)

    assert is_issued_by(root, root)
    assert cluster_of(root) == "c1"
    assert validity(root) == (NOW - 3600, NOW + ROOT_LIFE_S)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)


def test_a_key_that_is_not_the_roots_is_refused() -> None:
    root = make_root(ClusterId("c1"), now=NOW, random=Random(1))

    assert join_halves(root.key, root.certificate) == root
    with pytest.raises(Refused, match="not its certificate's"):
        join_halves(make_key(Random(2)), root.certificate)


def test_the_key_never_shows_in_a_repr() -> None:
    assert repr(make_root(ClusterId("c1"), now=NOW, random=Random(1))) == "Authority(key=<hidden>)"
