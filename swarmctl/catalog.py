"""List every command with where it lives and what it does in a line.

Help and completion are answered from this table alone, so that no command is imported, and
nothing that a command needs, until it runs. A new command is a line here.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Leaf(NamedTuple):
    """One command: `module:attribute`, and its line of help."""

    target: str
    help: str


class Branch(NamedTuple):
    """A group of commands."""

    help: str
    children: Mapping[str, "Leaf | Branch"]


Entry = Leaf | Branch

_SWARM: Mapping[str, Entry] = {
    "init": Leaf("swarmctl.commands.swarm:init", "Make a swarm, with this host as its manager"),
    "join": Leaf("swarmctl.commands.swarm:join", "Make this host part of a swarm"),
    "join-token": Leaf("swarmctl.commands.swarm:join_token", "Show or rotate a join token"),
    "leave": Leaf("swarmctl.commands.swarm:leave", "Take this host out of its swarm"),
    "update": Leaf("swarmctl.commands.swarm:update", "Change the swarm's own settings"),
}

_CONTAINERS: Mapping[str, Entry] = {
    "attach": Leaf("swarmctl.commands.program:attach", "Join a container's own program"),
    "commit": Leaf("swarmctl.commands.container:commit", "Make an image of a container"),
    "cp": Leaf("swarmctl.commands.container:cp", "Copy files from and to a container"),
    "create": Leaf("swarmctl.commands.run:create", "Make a container without starting it"),
    "diff": Leaf("swarmctl.commands.container:diff", "List what a container changed"),
    "exec": Leaf("swarmctl.commands.program:exec_", "Run a program in a container"),
    "export": Leaf("swarmctl.commands.container:export", "Write a container's files as a tar"),
    "inspect": Leaf("swarmctl.commands.inspect:container", "Show containers in full"),
    "kill": Leaf("swarmctl.commands.container:kill", "Send containers a signal"),
    "logs": Leaf("swarmctl.commands.container:logs", "Read what a container wrote"),
    "ls": Leaf("swarmctl.commands.container:ls", "List the containers"),
    "pause": Leaf("swarmctl.commands.looking:pause", "Hold the processes of containers still"),
    "port": Leaf("swarmctl.commands.container:port", "List the ports that lead to a container"),
    "prune": Leaf("swarmctl.commands.container:prune", "Remove containers that do not run"),
    "rename": Leaf("swarmctl.commands.container:rename", "Give a container another name"),
    "restart": Leaf("swarmctl.commands.container:restart", "Stop containers and start them"),
    "rm": Leaf("swarmctl.commands.container:rm", "Remove containers"),
    "run": Leaf("swarmctl.commands.run:run", "Run a program in a new container"),
    "start": Leaf("swarmctl.commands.container:start", "Start containers"),
    "stats": Leaf("swarmctl.commands.container:stats", "Show what containers use, live"),
    "stop": Leaf("swarmctl.commands.container:stop", "Have containers end"),
    "top": Leaf("swarmctl.commands.looking:top", "List the processes of a container"),
    "unpause": Leaf("swarmctl.commands.looking:unpause", "Let paused containers go on"),
    "update": Leaf("swarmctl.commands.container:update", "Change containers' limits"),
    "wait": Leaf("swarmctl.commands.container:wait", "Wait until containers have ended"),
}

# Those that Docker has at the root, too, and that mean nothing else there.
_AT_ROOT = (
    "commit", "cp", "create", "diff", "export", "kill", "logs", "port", "rename", "restart", "rm",
    "run", "start", "stop", "wait",
)  # fmt: skip

ROOT = Branch(
    "Run containers on many hosts as one swarm.",
    {
        **_SWARM,
        "node": Branch(
            "The hosts of the swarm",
            {
                "demote": Leaf("swarmctl.commands.node:demote", "Make managers workers"),
                "inspect": Leaf("swarmctl.commands.node:inspect", "Show nodes in full"),
                "ls": Leaf("swarmctl.commands.node:ls", "List the nodes"),
                "promote": Leaf("swarmctl.commands.node:promote", "Make workers managers"),
                "ps": Leaf("swarmctl.commands.node:ps", "List the tasks on nodes"),
                "rm": Leaf("swarmctl.commands.node:rm", "Take nodes off the list for good"),
                "update": Leaf("swarmctl.commands.node:update", "Change a node"),
            },
        ),
        "service": Branch(
            "What the swarm keeps running",
            {
                "create": Leaf("swarmctl.commands.service_create:create", "Start a service"),
                "history": Leaf("swarmctl.commands.rollout:history", "Tell what a service was"),
                "inspect": Leaf("swarmctl.commands.service:inspect", "Show services in full"),
                "logs": Leaf("swarmctl.commands.service:logs", "Read what a service wrote"),
                "ls": Leaf("swarmctl.commands.service:ls", "List the services"),
                "promote": Leaf("swarmctl.commands.rollout:promote", "Let a rollout go on"),
                "ps": Leaf("swarmctl.commands.service:ps", "List the tasks of services"),
                "rm": Leaf("swarmctl.commands.service:rm", "Remove services"),
                "rollback": Leaf("swarmctl.commands.rollout:rollback", "Undo the last change"),
                "runs": Leaf("swarmctl.commands.runs:runs", "List the runs of a job"),
                "scale": Leaf("swarmctl.commands.service:scale", "Set how many replicas run"),
                "trigger": Leaf("swarmctl.commands.runs:trigger", "Start a scheduled job now"),
                "update": Leaf("swarmctl.commands.service_update:update", "Change a service"),
            },
        ),
        "secret": Branch(
            "What services may read and nobody else",
            {
                "create": Leaf("swarmctl.commands.secret:create", "Store a secret"),
                "inspect": Leaf("swarmctl.commands.secret:inspect", "Show secrets in full"),
                "ls": Leaf("swarmctl.commands.secret:ls", "List the secrets"),
                "rm": Leaf("swarmctl.commands.secret:rm", "Remove secrets"),
                "update": Leaf("swarmctl.commands.secret:update", "Replace what is in a secret"),
            },
        ),
        "config": Branch(
            "Files for services, such as their configuration",
            {
                "create": Leaf("swarmctl.commands.config:create", "Store a config"),
                "inspect": Leaf("swarmctl.commands.config:inspect", "Show configs in full"),
                "ls": Leaf("swarmctl.commands.config:ls", "List the configs"),
                "rm": Leaf("swarmctl.commands.config:rm", "Remove configs"),
                "update": Leaf("swarmctl.commands.config:update", "Replace what is in a config"),
            },
        ),
        "container": Branch("The containers on this host, those of tasks among them", _CONTAINERS),
        "image": Branch(
            "The images on this host",
            {
                "build": Leaf("swarmctl.commands.building:build", "Build one from a Dockerfile"),
                "history": Leaf("swarmctl.commands.image:history", "Tell how one was made"),
                "import": Leaf("swarmctl.commands.image:import_", "Make an image from a tar"),
                "inspect": Leaf("swarmctl.commands.image:inspect", "Show images in full"),
                "load": Leaf("swarmctl.commands.image:load", "Take in a saved image"),
                "ls": Leaf("swarmctl.commands.image:ls", "List the images"),
                "prune": Leaf("swarmctl.commands.image:prune", "Remove unused images"),
                "pull": Leaf("swarmctl.commands.image:pull", "Fetch an image from a registry"),
                "push": Leaf("swarmctl.commands.image:push", "Give an image to a registry"),
                "rm": Leaf("swarmctl.commands.image:rm", "Remove images"),
                "save": Leaf("swarmctl.commands.image:save", "Write images as an archive"),
                "tag": Leaf("swarmctl.commands.image:tag", "Give an image another name"),
            },
        ),
        "builder": Branch(
            "What the builder of this host remembers",
            {
                "ls": Leaf("swarmctl.commands.builder:ls", "List what it remembers"),
                "prune": Leaf("swarmctl.commands.builder:prune", "Have it forget"),
            },
        ),
        "network": Branch(
            "What services reach each other through",
            {
                "check": Leaf("swarmctl.commands.network:check", "Probe it between all its nodes"),
                "connect": Leaf("swarmctl.commands.network:connect", "Put a task into a network"),
                "create": Leaf("swarmctl.commands.network:create", "Make a network"),
                "disconnect": Leaf("swarmctl.commands.network:disconnect", "Take a task out again"),
                "inspect": Leaf("swarmctl.commands.network:inspect", "Show networks in full"),
                "ls": Leaf("swarmctl.commands.network:ls", "List the networks"),
                "prune": Leaf("swarmctl.commands.network:prune", "Remove unused networks"),
                "rm": Leaf("swarmctl.commands.network:rm", "Remove networks"),
            },
        ),
        "volume": Branch(
            "The volumes on this host",
            {
                "create": Leaf("swarmctl.commands.volume:create", "Make a volume"),
                "inspect": Leaf("swarmctl.commands.volume:inspect", "Show volumes in full"),
                "ls": Leaf("swarmctl.commands.volume:ls", "List the volumes"),
                "prune": Leaf("swarmctl.commands.volume:prune", "Remove unused volumes"),
                "rm": Leaf("swarmctl.commands.volume:rm", "Remove volumes"),
            },
        ),
        "stack": Branch(
            "Services and what they need, as compose files say",
            {
                "config": Leaf("swarmctl.commands.stack:config", "Print compose files as one"),
                "deploy": Leaf("swarmctl.commands.stack:deploy", "Start or change a stack"),
                "ls": Leaf("swarmctl.commands.stack:ls", "List the stacks"),
                "ps": Leaf("swarmctl.commands.stack:ps", "List the tasks of a stack"),
                "rm": Leaf("swarmctl.commands.stack:rm", "Remove stacks"),
                "services": Leaf("swarmctl.commands.stack:services", "List a stack's services"),
            },
        ),
        "task": Branch(
            "The attempts at running a service's replicas",
            {"inspect": Leaf("swarmctl.commands.task:inspect", "Show tasks in full")},
        ),
        "swarm": Branch("The same as init, join, join-token, leave and update", _SWARM),
        **{name: _CONTAINERS[name] for name in _AT_ROOT},
        "ps": Leaf("swarmctl.commands.container:ps", "List this host's containers"),
        "attach": Leaf("swarmctl.commands.program:attach", "Join a container's or task's program"),
        "build": Leaf("swarmctl.commands.building:build", "Build an image from a Dockerfile"),
        "exec": Leaf("swarmctl.commands.program:exec_", "Run a program in a container or task"),
        "history": Leaf("swarmctl.commands.rollout:history", "Tell what a service or image was"),
        "images": Leaf("swarmctl.commands.image:listing", "List this host's images"),
        "import": Leaf("swarmctl.commands.image:import_", "Make an image from a tar"),
        "inspect": Leaf("swarmctl.commands.inspect:inspect", "Show anything in full"),
        "load": Leaf("swarmctl.commands.image:load", "Take in a saved image"),
        "pull": Leaf("swarmctl.commands.image:pull", "Fetch an image from a registry"),
        "push": Leaf("swarmctl.commands.image:push", "Give an image to a registry"),
        "rmi": Leaf("swarmctl.commands.image:removal", "Remove images"),
        "save": Leaf("swarmctl.commands.image:save", "Write images as an archive"),
        "tag": Leaf("swarmctl.commands.image:tag", "Give an image another name"),
        "plan": Branch(
            "Show what a change would do, and do nothing",
            {
                "create": Leaf("swarmctl.commands.plan:create", "Plan a new service"),
                "scale": Leaf("swarmctl.commands.plan:scale", "Plan another number of replicas"),
                "update": Leaf("swarmctl.commands.plan:update", "Plan a change of a service"),
            },
        ),
        "pause": Leaf("swarmctl.commands.looking:pause", "Hold the processes of tasks still"),
        "rebalance": Leaf(
            "swarmctl.commands.rebalance:rebalance", "Move tasks from full nodes to empty ones"
        ),
        "stats": Leaf("swarmctl.commands.looking:stats", "Show what tasks use, live"),
        "top": Leaf("swarmctl.commands.looking:top", "List the processes of a task"),
        "unpause": Leaf("swarmctl.commands.looking:unpause", "Let paused tasks go on"),
        "why": Leaf("swarmctl.commands.why:why", "Tell why a task is where it is, or is nowhere"),
        "events": Leaf("swarmctl.commands.system:events", "Follow what happens in the swarm"),
        "status": Leaf("swarmctl.commands.system:status", "Show this host's daemon"),
        "version": Leaf("swarmctl.commands.system:version", "Show the versions in use"),
        "completion": Leaf("swarmctl.commands.system:completion", "Print a shell's completion"),
    },
)

# Typed by habit, listed nowhere.
ALIASES: Mapping[str, str] = {
    "down": "rm",
    "info": "status",
    "list": "ls",
    "remove": "rm",
    "up": "deploy",
}
