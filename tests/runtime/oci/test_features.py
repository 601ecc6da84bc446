"""What we promise is what a config may contain."""

import json
from typing import Any

import msgspec

from runtime.oci.features import features
from runtime.oci.reading import read_config
from tests.runtime.oci.bundles import linux, plain, process


def promised() -> dict[str, Any]:
    found = features(version="1", libseccomp="2.5.4", supported_flags=("X",))
    return json.loads(msgspec.json.encode(found))


def test_both_ends_of_the_range_of_versions_are_read() -> None:
    told = promised()

    for version in (told["ociVersionMin"], told["ociVersionMax"]):
        assert read_config(json.dumps(plain(ociVersion=version))).oci_version == version


def test_every_name_that_is_promised_is_accepted_in_a_config() -> None:
    told = promised()
    seccomp = told["linux"]["seccomp"]
    rules = [
        {"names": ["getpid"], "action": action, "args": [{"index": 0, "value": 0, "op": op}]}
        for action in seccomp["actions"]
        for op in seccomp["operators"]
    ]

    for document in (
        linux(namespaces=[{"type": kind, "path": "/x"} for kind in told["linux"]["namespaces"]]),
        process(capabilities={"bounding": told["linux"]["capabilities"]}),
        plain(hooks={kind: [{"path": "/bin/x"}] for kind in told["hooks"]}),
        linux(
            seccomp={
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": seccomp["archs"],
                "flags": seccomp["knownFlags"],
                "listenerPath": "/x",
                "syscalls": rules,
            }
        ),
    ):
        read_config(json.dumps(document))


def test_the_words_are_the_specifications() -> None:
    told = promised()

    assert told["linux"]["intelRdt"] == {"enabled": False}
    assert told["linux"]["cgroup"]["systemdUser"] is False
    assert told["linux"]["mountExtensions"]["idmap"]["enabled"] is True
    assert told["linux"]["seccomp"]["supportedFlags"] == ["X"]
    assert {"rro", "rbind", "tmpcopyup"} <= set(told["mountOptions"])
    assert "potentiallyUnsafeConfigAnnotations" in told
