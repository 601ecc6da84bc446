"""Translate what a container may do.

Docker lets a container gain privileges unless it is told not to; ours may only where somebody has
asked for it. So `NoNewPrivileges` asks for what is so anyway, and its absence asks for nothing:
`AllowNewPrivileges`, our own, does.
"""

from msgspec import structs

from engine.wire.task_containers import (
    ApparmorJson,
    ContainerJson,
    DeviceJson,
    PrivilegesJson,
    SeccompJson,
    SelinuxJson,
)
from swarm import capabilities, seccomp
from swarm.errors import Invalid
from swarm.specs import ContainerSpec, Device

_NO_PRIVILEGES = PrivilegesJson()
_DIGEST = "sha256:"


def read_rights(path: str, asked: ContainerJson, before: ContainerSpec) -> ContainerSpec:
    """`before` with the rights that a client asks for."""
    privileges = asked.privileges or _NO_PRIVILEGES
    _refuse_the_rest(f"{path}.Privileges", privileges)
    if asked.isolation not in ("", "default"):
        raise Invalid(
            f"{path}.Isolation: {asked.isolation!r} is a matter of Windows, and there is none here",
            hint="leave it out",
        )
    return structs.replace(
        before,
        cap_add=_capabilities(f"{path}.CapabilityAdd", asked.capability_add),
        cap_drop=_capabilities(f"{path}.CapabilityDrop", asked.capability_drop),
        seccomp=_read_seccomp(f"{path}.Privileges.Seccomp", privileges.seccomp, before.seccomp),
        apparmor=_read_apparmor(privileges.app_armor),
        allow_new_privileges=_allows(privileges, before),
        privileged=before.privileged if asked.privileged is None else asked.privileged,
        devices=before.devices if asked.devices is None else tuple(map(_device, asked.devices)),
        host_user_namespace=(
            before.host_user_namespace if asked.userns_mode is None else asked.userns_mode == "host"
        ),
    )


def write_privileges(container: ContainerSpec) -> PrivilegesJson:
    """A container's profiles and privileges. Nothing is ever labelled for SELinux."""
    return PrivilegesJson(
        selinux_context=SelinuxJson(disable=True),
        seccomp=_write_seccomp(container.seccomp),
        app_armor=ApparmorJson(
            mode="disabled" if container.apparmor == seccomp.UNCONFINED else container.apparmor
        )
        if container.apparmor
        else None,
        no_new_privileges=not container.allow_new_privileges,
        allow_new_privileges=container.allow_new_privileges or None,
    )


def write_devices(container: ContainerSpec) -> tuple[DeviceJson, ...] | None:
    """The devices of a container that has some."""
    return (
        tuple(
            DeviceJson(
                path_on_host=each.source,
                path_in_container=each.target,
                cgroup_permissions=each.access,
            )
            for each in container.devices
        )
        or None
    )


def _allows(privileges: PrivilegesJson, before: ContainerSpec) -> bool:
    if privileges.allow_new_privileges is not None:
        return privileges.allow_new_privileges
    return before.allow_new_privileges and not privileges.no_new_privileges


def _refuse_the_rest(path: str, privileges: PrivilegesJson) -> None:
    if privileges.credential_spec is not None:
        raise Invalid(
            f"{path}.CredentialSpec: is a matter of Windows, and there is none here",
            hint="leave it out",
        )
    # Without labels of SELinux, which no node gives, asking for none is asking for what is so.
    wanted = privileges.selinux_context or SelinuxJson()
    if wanted.user or wanted.role or wanted.type or wanted.level:
        raise Invalid(
            f"{path}.SELinuxContext: containers are not labelled for SELinux",
            hint="leave it out; AppArmor and seccomp confine containers",
        )


def _capabilities(path: str, names: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for index, name in enumerate(names):
        try:
            found.append(capabilities.parse_capability(name))
        except Invalid as err:
            raise Invalid(f"{path}[{index}]: {err.message}", hint=err.hint) from err
    return tuple(dict.fromkeys(found))


def _read_seccomp(path: str, asked: SeccompJson | None, before: str) -> str:
    if asked is None or asked.mode in ("", "default"):
        return ""
    if asked.mode == "unconfined":
        return seccomp.UNCONFINED
    if asked.mode != "custom":
        raise Invalid(
            f"{path}.Mode: there is no {asked.mode!r}", hint="use default, unconfined or custom"
        )
    if not asked.profile and asked.digest and asked.digest == seccomp.named(before):
        return before
    try:
        return seccomp.compact(asked.profile)
    except Invalid as err:
        raise Invalid(f"{path}.Profile: {err.message}") from err


def _write_seccomp(setting: str) -> SeccompJson | None:
    """A task's profile is known by its digest only; its service has the text."""
    if not setting:
        return None
    if setting == seccomp.UNCONFINED:
        return SeccompJson(mode="unconfined")
    if setting.startswith(_DIGEST):
        return SeccompJson(mode="custom", digest=setting)
    return SeccompJson(mode="custom", profile=setting.encode())


def _read_apparmor(asked: ApparmorJson | None) -> str:
    if asked is None or asked.mode in ("", "default"):
        return ""
    return seccomp.UNCONFINED if asked.mode == "disabled" else asked.mode


def _device(asked: DeviceJson) -> Device:
    return Device(
        source=asked.path_on_host,
        target=asked.path_in_container,
        access=asked.cgroup_permissions or "rwm",
    )
