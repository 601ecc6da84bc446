"""Render the table as help, as a page of the manual, and as a script for bash."""

from runtime.command.table import COMMANDS, GLOBAL, Command, Flag

_ABOUT = """\
swarm-runtime - run containers from OCI bundles

A bundle is a directory with a config.json and a root file system. swarm-runtime makes a
container of it, and is a drop-in for runc below podman, Docker and containerd."""


def overview() -> str:
    """What `swarm-runtime --help` prints."""
    rows = [(each.name, each.summary) for each in COMMANDS]
    return (
        f"{_ABOUT}\n\nusage: swarm-runtime [FLAG...] COMMAND [ARG...]\n\n"
        f"commands:\n{_columns(rows)}\n\nflags:\n{_flags(GLOBAL)}\n"
    )


def help_of(command: Command) -> str:
    """What `swarm-runtime COMMAND --help` prints."""
    parts = [f"swarm-runtime {command.name} - {command.summary}", f"usage: {usage(command)}"]
    if command.text:
        parts.append(command.text)
    if command.flags:
        parts.append(f"flags:\n{_flags(command.flags)}")
    return "\n\n".join(parts) + "\n"


def usage(command: Command) -> str:
    """The shape of a command line."""
    flags = "[FLAG...]" if command.flags else ""
    return " ".join(filter(None, ("swarm-runtime", command.name, flags, command.usage)))


def _flags(flags: tuple[Flag, ...]) -> str:
    return _columns([(_spelled(each), _explained(each)) for each in flags])


def _spelled(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else ""
    return f"{short}--{flag.name}{' ' + flag.value if flag.value else ''}"


def _explained(flag: Flag) -> str:
    notes = [f"default {flag.default}"] if flag.default else []
    notes += ["repeatable"] if flag.many else []
    return f"{flag.help} ({', '.join(notes)})" if notes else flag.help


def _columns(rows: list[tuple[str, str]]) -> str:
    width = max(len(first) for first, _ in rows)
    return "\n".join(f"  {first.ljust(width)}  {second}" for first, second in rows)


def page() -> str:
    """The generated half of docs/reference/swarm-runtime.md."""
    parts = ["## Global flags\n", _table(GLOBAL), "## Commands\n"]
    for command in COMMANDS:
        parts.append(f"### {command.name}\n\n```\n{usage(command)}\n```\n")
        text = command.summary[:1].upper() + command.summary[1:] + "."
        parts.append(f"{text} {' '.join(command.text.split())}".rstrip() + "\n")
        if command.flags:
            parts.append(_table(command.flags))
    return "\n".join(parts)


def _table(flags: tuple[Flag, ...]) -> str:
    rows = [f"| `{_spelled(each)}` | {_explained(each)} |\n" for each in flags]
    return "| flag | |\n| --- | --- |\n" + "".join(rows).replace("FILE|-", "FILE")


def bash() -> str:
    """A script for bash that completes commands, flags, their values, and containers."""
    cases = "\n".join(_case(each) for each in COMMANDS)
    taking = " ".join(f"--{each.name}" for each in GLOBAL if each.value)
    return f"""\
_swarm_runtime() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
  local command="" flags="" wants="" root="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${{COMP_WORDS[i]}}" in
      --root) root="--root ${{COMP_WORDS[i+1]}}"; ((i++)) ;;
      {taking.replace("--root ", "").replace(" ", "|")}) ((i++)) ;;
      -*) ;;
      *) command="${{COMP_WORDS[i]}}"; break ;;
    esac
  done
  case "$command" in
    "") flags="{_words(GLOBAL)}"; wants="{" ".join(each.name for each in COMMANDS)}" ;;
{cases}
  esac
  case "$before" in
{_values()}
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$word"))
  elif [[ $wants == CONTAINER ]]; then
    COMPREPLY=($(compgen -W "$("${{COMP_WORDS[0]}}" $root list -q 2>/dev/null)" -- "$word"))
  else
    COMPREPLY=($(compgen -W "$wants" -- "$word"))
  fi
}}
complete -o default -F _swarm_runtime swarm-runtime
"""


def _case(command: Command) -> str:
    wants = "CONTAINER" if command.usage.startswith("CONTAINER") else ""
    if command.name == "help":
        wants = " ".join(each.name for each in COMMANDS)
    if command.name == "completion":
        wants = "bash"
    return f'    {command.name}) flags="{_words(command.flags)}"; wants="{wants}" ;;'


def _words(flags: tuple[Flag, ...]) -> str:
    return " ".join(f"--{each.name}" for each in flags)


def _values() -> str:
    """What may follow a flag: one of its choices, or a file, which is bash's own default."""
    every = [*GLOBAL, *(flag for command in COMMANDS for flag in command.flags)]
    chosen = {each.name: each.choices for each in every if each.choices}
    files = sorted({each.name for each in every if each.value in ("FILE", "DIR", "PATH")})
    lines = [
        f'    --{name}) COMPREPLY=($(compgen -W "{" ".join(choices)}" -- "$word")); return ;;'
        for name, choices in chosen.items()
    ]
    lines.append(f"    {'|'.join('--' + name for name in files)}) return ;;")
    return "\n".join(lines)
