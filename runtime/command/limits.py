"""Turn the flags of `update` into resources as OCI has them."""

from runtime.command.parsing import Options
from runtime.oci.config import BlockIo, Cpu, Memory, Pids, Resources
from swarm.errors import Invalid, Refused

_REFUSED = ("l3-cache-schema", "mem-bw-schema")


def from_flags(options: Options) -> Resources:
    """Only what was given is set. Raises `Invalid` if nothing was, and `Refused`."""
    for name in _REFUSED:
        if options.has(name):
            raise Refused(f"--{name}: not supported", hint="this runtime has no resctrl")
    asked = Resources(
        memory=_memory(options),
        cpu=_cpu(options),
        pids=Pids(limit=options.number("pids-limit")) if options.has("pids-limit") else None,
        block_io=BlockIo(weight=_number(options, "blkio-weight"))
        if options.has("blkio-weight")
        else None,
    )
    if asked == Resources() and not options.has("kernel-memory"):
        raise Invalid("nothing to update", hint="give a limit; see swarm-runtime update -h")
    return asked


def _memory(options: Options) -> Memory | None:
    asked = Memory(
        limit=_number(options, "memory"),
        reservation=_number(options, "memory-reservation"),
        swap=_number(options, "memory-swap"),
        kernel_tcp=_number(options, "kernel-memory-tcp"),
    )
    return None if asked == Memory() else asked


def _cpu(options: Options) -> Cpu | None:
    asked = Cpu(
        shares=_number(options, "cpu-share"),
        quota=_number(options, "cpu-quota"),
        burst=_number(options, "cpu-burst"),
        period=_number(options, "cpu-period"),
        realtime_runtime=_number(options, "cpu-rt-runtime"),
        realtime_period=_number(options, "cpu-rt-period"),
        cpus=options.text("cpuset-cpus"),
        mems=options.text("cpuset-mems"),
        idle=_number(options, "cpu-idle"),
    )
    return None if asked == Cpu() else asked


def _number(options: Options, name: str) -> int | None:
    return options.number(name) if options.has(name) else None
