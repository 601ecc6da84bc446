import errno

import pytest

from agent.standalone.refusing import not_started
from swarm.errors import Invalid, KernelRefused, Missing


@pytest.mark.parametrize(
    ("program", "number", "code", "words"),
    [
        ("nope", errno.ENOENT, 127, 'exec: "nope": executable file not found in $PATH'),
        ("/nope", errno.ENOENT, 127, "no such file or directory"),
        ("/etc", errno.EACCES, 126, "permission denied"),
        ("/etc", errno.EISDIR, 126, "is a directory"),
        ("/odd", errno.ENOEXEC, 126, "the kernel's words"),
    ],
)
def test_words_tell_clients_what_the_shell_tells_by_a_number(
    program: str, number: int, code: int, words: str
) -> None:
    found, exit_code = not_started(KernelRefused("exec", number, "the kernel's words"), (program,))
    assert exit_code == code
    assert isinstance(found, Invalid)
    assert words in found.message


def test_what_has_nothing_to_do_with_the_program_is_told_as_it_is() -> None:
    for err in (KernelRefused("mount", errno.ENOENT, "gone"), Missing("no image")):
        assert not_started(err, ("sh",)) == (err, 128)
