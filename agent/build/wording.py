"""Say how a build goes on, in the words of Docker's classic builder."""

SHORT = 12


def short(image_id: str) -> str:
    """An id as users read it."""
    return image_id.removeprefix("sha256:")[:SHORT]


def step(number: int, total: int, text: str) -> str:
    """An instruction begins."""
    return f"Step {number}/{total} : {text}\n"


def result(image_id: str) -> str:
    """An instruction is done."""
    return f" ---> {short(image_id)}\n"


def running(container_id: str) -> str:
    """A container runs."""
    return f" ---> Running in {short(container_id)}\n"


def removed(container_id: str) -> str:
    """A container is gone."""
    return f"Removing intermediate container {short(container_id)}\n"


CACHED = " ---> Using cache\n"


def triggers(count: int) -> str:
    """Triggers of the base image are carried out."""
    return f"# Executing {count} build trigger{'s' if count != 1 else ''}\n"


def unused(names: tuple[str, ...]) -> str:
    """Arguments that nobody asked for."""
    return f"[Warning] One or more build-args [{' '.join(names)}] were not consumed\n"


def built(image_id: str) -> str:
    """The end."""
    return f"Successfully built {short(image_id)}\n"


def tagged(name: str) -> str:
    """The image has a name."""
    return f"Successfully tagged {name}\n"


def failed(command: tuple[str, ...], code: int) -> str:
    """A program failed."""
    return f"The command '{' '.join(command)}' returned a non-zero code: {code}"
