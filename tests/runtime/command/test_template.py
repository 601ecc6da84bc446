import json

import pytest

from runtime.command import template
from runtime.oci.reading import read_config


@pytest.mark.parametrize("rootless", [None, (1000, 1001)])
def test_what_spec_writes_has_no_problems(rootless: tuple[int, int] | None) -> None:
    config = read_config(json.dumps(template.config(rootless=rootless)))

    assert config.process is not None
    assert config.process.args == ("sh",)
    assert config.linux is not None
    kinds = {each.type for each in config.linux.namespaces}
    assert ("user" in kinds) is (rootless is not None)
    assert ("network" in kinds) is (rootless is None)
    assert [each.host_id for each in config.linux.uid_mappings] == ([1000] if rootless else [])
