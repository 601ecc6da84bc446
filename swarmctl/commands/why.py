"""`swarmctl why`."""

import click

from swarmctl import completing, options
from swarmctl.io.session import Session
from swarmctl.lazy import Command


@click.command("why", cls=Command)
@click.argument("target", metavar="TASK|SERVICE", shell_complete=completing.services)
@click.argument("node", metavar="[NODE]", required=False, default="")
@options.form
@click.pass_obj
def why(session: Session, /, *, target: str, node: str, form: str) -> None:
    """Tell why a task is where it is or still pending, and what each node says to it.

    Of a service it is told what each node says to one more of its tasks. A node that does not
    take it is listed with the first filter that refuses, and by how much; of others, how many
    more there is room for.
    """
    from swarm.api.v1 import control_pb2
    from swarmctl.explanations import VERDICTS, verdict_row
    from swarmctl.tables import listed

    request = control_pb2.ExplainPlacementRequest(target=target, node=node)
    answer = session.control.explain_placement(request)
    if not form:
        session.say(f"{answer.summary}\n")
    session.write(listed([verdict_row(each) for each in answer.verdicts], VERDICTS, form=form))
