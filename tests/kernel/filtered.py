"""Run a script under a filter: `filtered.py SECCOMP-AS-JSON SCRIPT [late]`.

With `late` the script loads the filter itself, by calling `LOAD()`.
"""

import sys

import msgspec

from runtime import constants as k
from runtime.io import kernel
from runtime.io import seccomp as io
from runtime.io.listener import send_listener
from runtime.oci.config import Seccomp
from runtime.seccomp.flags import filter_flags
from runtime.seccomp.listening import process_state


def main() -> None:
    wanted = msgspec.json.decode(sys.argv[1], type=Seccomp)
    program, flags = io.compile_filter(wanted, ""), filter_flags(wanted)
    code = compile(sys.argv[2], "script", "exec")
    kernel.prctl(k.PR_SET_NO_NEW_PRIVS, 1)

    def load() -> None:
        listener = io.load(program, flags)
        if listener >= 0:
            import os

            message = process_state("{}", pid=os.getpid(), metadata=wanted.listener_metadata)
            send_listener(wanted.listener_path, listener, message)
            os.close(listener)

    if sys.argv[3:] != ["late"]:
        load()
    exec(code, {"LOAD": load})


main()
