"""Say what a container changed, in a process of its own: trees may be large."""

import msgspec

from agent.images.answers import Answer, Collecting, Failed
from agent.images.io.collecting import compare
from swarm.errors import Invalid, Refused


def run() -> int:
    """Compare what standard input says; the answer is one line of JSON on standard output."""
    with open(0, "rb", closefd=False) as source, open(1, "wb", closefd=False) as output:
        asked = msgspec.json.decode(source.read(), type=Collecting)
        output.write(msgspec.json.encode(_answer(asked)) + b"\n")
    return 0


def _answer(asked: Collecting) -> Answer:
    try:
        return Answer(changes=compare(asked))
    except (Invalid, Refused) as err:
        return Answer(failed=Failed(message=err.message, hint=err.hint))
    except OSError as err:
        return Answer(failed=Failed(message=str(err), errno=err.errno or 0))
