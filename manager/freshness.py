"""Tell news from echoes.

Changes reach a manager twice and out of order: its own commits at once, and all commits
again through the watch. What is not newer than what is known of a key is an echo. A deleted
key stays buried until the watch has passed its deletion, and what the watch has passed
cannot come ahead of it any more.
"""


class Freshness:
    """The revision of each key's last change, and how far the watch has come."""

    def __init__(self) -> None:
        self.passed = 0
        self._known: dict[str, int] = {}
        self._buried: dict[str, int] = {}

    def is_new(self, key: str, revision: int, *, ahead: bool) -> bool:
        """Whether a change of `key` at `revision` is news; `ahead` when not from the watch."""
        if ahead and revision <= self.passed:
            return False
        return revision > max(self._known.get(key, 0), self._buried.get(key, 0))

    def learn(self, key: str, revision: int) -> None:
        """The key has a value since `revision`."""
        self._known[key] = revision
        self._buried.pop(key, None)

    def bury(self, key: str, revision: int) -> bool:
        """The key was deleted at `revision`; whether it had been known."""
        self._buried[key] = revision
        return self._known.pop(key, None) is not None

    def pass_by(self, revision: int) -> None:
        """The watch delivered everything up to `revision`."""
        if revision > self.passed:
            self.passed = revision
            self._buried = {key: at for key, at in self._buried.items() if at > revision}

    def version(self, key: str) -> int:
        """The revision of the key's last change; 0 when there is no such key."""
        return self._known.get(key, 0)

    def older_than(self, revision: int) -> list[str]:
        """The keys that a listing at `revision` has to contain, or they are gone."""
        return [key for key, known in self._known.items() if known <= revision]

    def check(self) -> None:
        """Assert that no key is both there and gone, and that no grave is kept for nothing."""
        assert not self._known.keys() & self._buried.keys()
        assert all(revision > self.passed for revision in self._buried.values())
