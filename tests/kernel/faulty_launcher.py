"""Be the launcher, with faults."""

from runtime.io import launcher
from tests.kernel.faults import install

if __name__ == "__main__":
    install()
    launcher.main()
