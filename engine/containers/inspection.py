"""Show all that is known of one container, as `docker inspect` has it."""

from collections.abc import Iterable

from engine import times
from engine.containers import endpoints, links, paths, ports, resources, states
from engine.replies import JsonObject
from engine.services.containers import write_health
from engine.services.mounts import write_mount
from engine.versions import Version
from engine.wire.encoding import builtins
from swarm.api.v1 import containers_pb2 as pb
from swarm.codec import from_message
from swarm.specs import BRIDGE, ContainerSpec, Healthcheck, MountKind
from swarm.standalone import StandaloneSpec

DRIVER = "overlay2"
RUNTIME = "runc"  # what is ours is a drop-in for, and clients ask for

_SHM_BYTES = 64 << 20
_DEFAULT = ContainerSpec()


def write_inspection(
    found: pb.InspectContainerResponse,
    *,
    exec_ids: Iterable[str] = (),
    with_size: bool = False,
    version: Version,
) -> JsonObject:
    """One container in full."""
    view = found.container
    spec = from_message(StandaloneSpec, view.spec)
    shown: JsonObject = {
        "Id": view.id,
        "Created": times.stamp(view.created_at),
        "Path": view.args[0] if view.args else "",
        "Args": list(view.args[1:]),
        "State": states.write_state(view, list(found.health_log)),
        "Image": view.image_id,
        "ResolvConfPath": view.resolv_conf_path,
        "HostnamePath": view.hostname_path,
        "HostsPath": view.hosts_path,
        "LogPath": view.log_path,
        "Name": f"/{view.name}",
        "RestartCount": view.restart_count,
        "Driver": DRIVER,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": view.apparmor,
        "ExecIDs": list(exec_ids) or None,
        "HostConfig": write_host_config(spec) | {"Links": links.write_links(view) or None},
        "GraphDriver": {"Name": DRIVER, "Data": _layers(view)},
        "Mounts": [write_mount_point(each) for each in view.mounts],
        "Config": write_config(view, spec),
        "NetworkSettings": endpoints.write_settings(view, version),
    }
    if with_size:
        shown["SizeRw"] = view.written_bytes
        shown["SizeRootFs"] = view.root_bytes
    return shown


def write_config(view: pb.ContainerView, spec: StandaloneSpec) -> JsonObject:
    """What runs in a container, with what its image says."""
    container = spec.container
    shown: JsonObject = {
        "Hostname": view.hostname,
        "Domainname": spec.domainname,
        "User": view.user,
        "AttachStdin": spec.attach_stdin,
        "AttachStdout": spec.attach_stdout,
        "AttachStderr": spec.attach_stderr,
        "Tty": container.tty,
        "OpenStdin": container.open_stdin,
        "StdinOnce": spec.stdin_once,
        "Env": list(view.env),
        "Cmd": list(view.command) or None,
        "Image": container.image,
        "Volumes": dict.fromkeys(view.volumes, _EMPTY) or None,
        "WorkingDir": view.workdir,
        "Entrypoint": list(view.entrypoint) or None,
        "OnBuild": None,
        "Labels": dict(view.labels),
    }
    if view.exposed:
        shown["ExposedPorts"] = dict.fromkeys(view.exposed, _EMPTY)
    if spec.mac_address:
        shown["MacAddress"] = spec.mac_address
    if view.stop_signal:
        shown["StopSignal"] = view.stop_signal
    if container.stop_grace_s != _DEFAULT.stop_grace_s:
        shown["StopTimeout"] = int(container.stop_grace_s)
    health = from_message(Healthcheck, view.healthcheck)
    if health.test:
        shown["Healthcheck"] = builtins(write_health(health))
    return shown


_EMPTY: JsonObject = {}


def write_host_config(spec: StandaloneSpec) -> JsonObject:
    """What a container has of its node."""
    container = spec.container
    return {
        "Binds": list(spec.binds) or None,
        "ContainerIDFile": "",
        "LogConfig": {
            "Type": spec.log_driver.name or "json-file",
            "Config": dict(spec.log_driver.options),
        },
        "NetworkMode": spec.network_mode or BRIDGE,
        "PortBindings": ports.write_bindings(spec.ports, spec.port_spans),
        "RestartPolicy": {
            "Name": spec.restart.condition.word,
            "MaximumRetryCount": spec.restart.max_retries,
        },
        "AutoRemove": spec.auto_remove,
        "VolumeDriver": spec.volume_driver,
        "VolumesFrom": list(spec.volumes_from) or None,
        "ConsoleSize": [spec.console_rows, spec.console_columns],
        "CapAdd": list(container.cap_add) or None,
        "CapDrop": list(container.cap_drop) or None,
        "CgroupnsMode": spec.cgroupns_mode or "private",
        "Dns": list(container.dns_servers),
        "DnsOptions": list(container.dns_options),
        "DnsSearch": list(container.dns_search),
        "ExtraHosts": list(container.hosts) or None,
        "GroupAdd": list(container.groups) or None,
        "IpcMode": spec.ipc_mode or "private",
        "Cgroup": "",
        "OomScoreAdj": container.oom_score_adj,
        "PidMode": spec.pid_mode,
        "Privileged": container.privileged,
        "PublishAllPorts": spec.publish_all,
        "ReadonlyRootfs": container.read_only,
        "SecurityOpt": list(spec.security_options) or None,
        "UTSMode": spec.uts_mode,
        "UsernsMode": "host" if container.host_user_namespace else "",
        "ShmSize": spec.shm_bytes or _SHM_BYTES,
        "Runtime": spec.runtime or RUNTIME,
        "Isolation": spec.isolation,
        **resources.write_resources(spec.limits, spec.shares, spec.device_rates),
        "CgroupParent": spec.cgroup_parent,
        "Devices": [
            {
                "PathOnHost": each.source,
                "PathInContainer": each.target,
                "CgroupPermissions": each.access,
            }
            for each in container.devices
        ],
        "DeviceCgroupRules": list(spec.device_cgroup_rules) or None,
        "DeviceRequests": None,
        "Ulimits": [
            {"Name": each.name, "Hard": each.hard, "Soft": each.soft} for each in container.ulimits
        ],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
        "MaskedPaths": _paths(spec, spec.masked_paths, paths.MASKED),
        "ReadonlyPaths": _paths(spec, spec.readonly_paths, paths.READONLY),
        **_given(spec),
    }


def _given(spec: StandaloneSpec) -> JsonObject:
    """What is left out when nobody asked for it."""
    found: JsonObject = {
        "Mounts": [builtins(write_mount(each)) for each in spec.container.mounts],
        "Tmpfs": dict(spec.tmpfs),
        "Sysctls": dict(spec.container.sysctls),
        "StorageOpt": dict(spec.storage_options),
        "Annotations": dict(spec.annotations),
        "Init": spec.container.init,
    }
    return {name: value for name, value in found.items() if value}


def write_mount_point(mount: pb.ContainerMount) -> JsonObject:
    """A mount as it is in a container."""
    kind = MountKind(mount.kind)
    shown: JsonObject = {"Type": kind.name.lower()}
    if mount.volume:
        shown["Name"] = mount.volume
    shown["Source"] = mount.source
    shown["Destination"] = mount.target
    if mount.driver:
        shown["Driver"] = mount.driver
    shown["Mode"] = mount.mode
    shown["RW"] = not mount.read_only
    shown["Propagation"] = mount.propagation
    return shown


def _layers(view: pb.ContainerView) -> JsonObject:
    if not view.layers:
        return {}
    own, *below = view.layers
    return {"LowerDir": ":".join(below), "UpperDir": own}


def _paths(
    spec: StandaloneSpec, asked: tuple[str, ...], default: tuple[str, ...]
) -> list[str] | None:
    if spec.has_paths:
        return list(asked)
    return None if spec.container.privileged else list(default)
