"""Read what --chown asks for: names and numbers, which the image's own tables explain."""

from swarm.errors import Invalid

_HIGHEST = 0xFFFFFFFE


def find_owner(text: str, *, passwd: str, group: str) -> tuple[int, int]:
    """User and group ids of `USER[:GROUP]`; without a group it is called as the user is."""
    parts = text.split(":")
    if len(parts) > 2 or not parts[0]:
        raise Invalid(f"invalid chown string format: {text}", hint="write it as USER[:GROUP]")
    user, name = parts[0], parts[1] if len(parts) == 2 and parts[1] else parts[0]
    return _id(user, passwd, "uid", "user"), _id(name, group, "gid", "group")


def _id(name: str, table: str, kind: str, what: str) -> int:
    if name.isascii() and name.isdigit():
        if int(name) > _HIGHEST:
            raise Invalid(f"{kind} {name} is too large")
        return int(name)
    for line in table.splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[0] == name and fields[2].isdigit():
            return int(fields[2])
    raise Invalid(
        f"unable to convert uid/gid chown string to host mapping: can't find {kind} for {what} "
        f"{name}: no such {what}: {name}"
    )
