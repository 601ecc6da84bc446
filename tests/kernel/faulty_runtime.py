"""Be swarm-runtime, with faults: a script, for it starts itself again from a sealed place."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path[1:1] = os.environ["SWARM_TEST_PACKAGES"].split(os.pathsep)

from runtime.main import main  # noqa: E402
from tests.kernel.faults import install  # noqa: E402

if __name__ == "__main__":
    install()
    main()
