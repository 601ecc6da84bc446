"""Say what exit code stands for a program that did not come to run, as shells do."""

NOT_FOUND, NOT_EXECUTABLE = 127, 126

_ABSENT = ("executable file not found", "no such file or directory")


def exit_code_of(reason: str) -> int:
    """The code that stands for `reason`."""
    return NOT_FOUND if any(each in reason for each in _ABSENT) else NOT_EXECUTABLE
