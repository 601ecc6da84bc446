"""Carry out one command line: the only place where commands' names meet what they do.

Every command loads what it needs and nothing else, for most are over in a few milliseconds.
A failure is one message and the exit status 1; of `exec`, 255, since 1 could be the program's.
"""

import sys

from runtime.command.parsing import Line, Options, parse
from runtime.command.table import find
from runtime.io.command.caller import Caller
from runtime.io.command.messages import Messages
from swarm.errors import Invalid, Refused, SwarmError


def main(words: list[str]) -> int:
    """The exit status."""
    messages = Messages()
    name = ""
    try:
        line = parse(words)
        name = line.command.name if line.command else ""
        options = line.globals
        messages = Messages(
            options.text("log"),
            as_json=options.text("log-format") == "json",
            debug=options.is_on("debug"),
        )
        return 0 if _answer(line) else _carry_out(line, messages)
    except SwarmError as err:
        messages.error(_worded(name, err))
    except OSError as err:  # such as a full disk, wherever it shows
        where = f": {err.filename}" if err.filename else ""
        messages.error(_worded(name, Refused(f"{(err.strerror or str(err)).lower()}{where}")))
    except KeyboardInterrupt:
        messages.error(f"{name}: interrupted")
    return 255 if name == "exec" else 1


def _worded(name: str, err: SwarmError) -> str:
    problems = err.problems if isinstance(err, Invalid) else ()
    text = "; ".join(problems) if len(problems) > 1 else err.message
    text = f"{text} ({err.hint})" if err.hint else text
    return f"{name} failed: {text}" if name in ("create", "run", "exec") else text


def _answer(line: Line) -> bool:
    """Whether help or the version was asked for, and printed."""
    command = line.command
    asks = command is None or line.options.is_on("help") or command.name in ("help", "completion")
    if not asks:
        return False
    from runtime.command import helping  # seldom needed

    if line.globals.is_on("version"):
        from runtime.io.command.describing import version

        sys.stdout.write(version())
    elif command is None:
        sys.stdout.write(helping.overview())
    elif line.options.is_on("help"):
        sys.stdout.write(helping.help_of(command))
    elif command.name == "completion":
        if line.arguments not in ((), ("bash",)):
            raise Invalid(f"no completion for {line.arguments[0]}", hint="there is one for bash")
        sys.stdout.write(helping.bash())
    else:
        asked = find(line.arguments[0]) if line.arguments else None
        if line.arguments and asked is None:
            raise Invalid(f'no such command: "{line.arguments[0]}"')
        sys.stdout.write(helping.help_of(asked) if asked else helping.overview())
    return True


def _carry_out(line: Line, messages: Messages) -> int:
    assert line.command is not None
    name, options, words = line.command.name, line.options, line.arguments
    if line.globals.is_on("systemd-cgroup"):
        raise Refused(
            "--systemd-cgroup: groups are made in the file system here, not by systemd",
            hint="set the caller's cgroup driver to cgroupfs",
        )
    if name in ("checkpoint", "restore"):
        raise Refused(f"{name}: not supported", hint="containers are started anew here")
    if name in ("spec", "features"):
        from runtime.io.command import describing

        describing.write_spec(options) if name == "spec" else describing.features()
        return 0
    caller = Caller(line.globals.text("root"), messages)
    match name:
        case "run" | "create" | "start":
            from runtime.io.command import starting

            if name == "run":
                return starting.run(caller, options, words[0])
            if name == "create":
                starting.create(caller, options, words[0])
            else:
                starting.start(caller, words[0])
        case "exec":
            from runtime.io.command import joining

            return joining.execute(caller, options, words[0], words[1:])
        case "kill":
            from runtime.io.command import signalling

            signalling.kill(caller, words[0], *words[1:], to_all=options.is_on("all"))
        case "delete":
            from runtime.io.command import ending

            ending.delete(caller, words[0], force=options.is_on("force"))
        case "pause" | "resume" | "update":
            _change(name, caller, options, words[0])
        case _:
            _report(name, caller, options, words)
    return 0


def _change(name: str, caller: Caller, options: Options, container_id: str) -> None:
    from runtime.io.command import changing

    if name == "pause":
        changing.pause(caller, container_id)
    elif name == "resume":
        changing.resume(caller, container_id)
    else:
        changing.update(caller, options, container_id)


def _report(name: str, caller: Caller, options: Options, words: tuple[str, ...]) -> None:
    from runtime.io.command import reporting

    if name == "state":
        reporting.state(caller, words[0])
    elif name == "list":
        reporting.list_all(caller, options)
    elif name == "ps":
        reporting.processes(caller, options, words[0], words[1:])
    else:
        assert name == "events"
        from runtime.io.command import watching

        watching.events(caller, options, words[0])
