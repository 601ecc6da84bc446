"""Find the login for an image's registry where `docker login` leaves it."""

import os
from base64 import b64decode, b64encode
from pathlib import Path

import msgspec
from msgspec import Struct, field

from swarm.errors import Invalid
from swarm.images.reference import parse_reference
from swarmctl.io.session import Session


class Login(Struct, frozen=True, kw_only=True):
    """One registry's entry: base64 of `user:password`."""

    auth: str = ""


class Config(Struct, frozen=True, kw_only=True):
    """What we read of `config.json`."""

    auths: dict[str, Login] = field(default_factory=dict[str, Login])
    store: str = field(name="credsStore", default="")


def all_registry_auths() -> dict[str, str]:
    """What `registry_auth` gives, for every registry that there is a login for."""
    content, path = _read()
    if not content:
        return {}
    try:
        names = msgspec.json.decode(content, type=Config).auths
    except ValueError as err:
        raise Invalid(f"{path} cannot be read", hint="log in again") from err
    hosts = {name.removeprefix("https://").partition("/")[0] for name in names}
    found = {"docker.io" if host == "index.docker.io" else host for host in hosts}
    return {host: auth_for(content, host, path=path) for host in sorted(found)}


def registry_auth(image: str) -> str:
    """What `registry_auth` of the API wants for `image`; empty when there is no login."""
    if not image:
        return ""
    content, path = _read()
    return auth_for(content, parse_reference(image).registry, path=path) if content else ""


def given_login(session: Session, image: str) -> str:
    """`registry_auth` for an image whose nodes are to have our login; warns if there is none."""
    found = registry_auth(image)
    if not found:
        _, path = _read()
        registry = parse_reference(image).registry
        session.warn(f"Warning: {path} has no login for {registry}: nodes pull as they did")
    return found


def _read() -> tuple[bytes, str]:
    """What `docker login` has left, and where; nothing if nobody has logged in."""
    directory = os.environ.get("DOCKER_CONFIG") or str(Path("~/.docker").expanduser())
    path = Path(directory, "config.json")
    try:
        return path.read_bytes(), str(path)
    except OSError:
        return b"", str(path)


def auth_for(content: bytes, registry: str, *, path: str) -> str:
    """The login for `registry` in the text of a `config.json`."""
    try:
        config = msgspec.json.decode(content, type=Config)
        names = [registry, f"https://{registry}", f"https://{registry}/v1/"]
        if registry == "docker.io":
            names.append("https://index.docker.io/v1/")
        auth = next((config.auths[each].auth for each in names if each in config.auths), "")
        if not auth:
            return ""
        username, _, password = b64decode(auth, validate=True).decode().partition(":")
    except ValueError as err:
        # Never with the text that could not be read: it holds passwords.
        raise Invalid(f"{path} holds no readable login for {registry}") from err
    login = {"username": username, "password": password}
    return b64encode(msgspec.json.encode(login)).decode()
