"""Be a launcher whose processes are always ahead of their orders.

Else only the one is that happens to look before the launcher has told it what it is for.
"""

from runtime.io import launcher, sockets

if __name__ == "__main__":
    sockets.is_readable = lambda descriptor: False
    launcher.main()
