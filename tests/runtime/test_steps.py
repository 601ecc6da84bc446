from runtime import steps as s


def test_names_and_subjects_read_as_words() -> None:
    assert s.name(s.MountOverlay(("/l",), "/u", "/w", "/t")) == "mount overlay"
    assert s.subject(s.OpenBind(number=1, source="/src")) == "/src"
    assert s.subject(s.Execute(("/bin/x", "y"), (), False)) == "/bin/x"
    assert s.subject(s.IsolateMounts()) == ""


def test_undo_goes_backwards_and_skips_what_goes_with_its_directory() -> None:
    steps = (
        s.MakeDir("/a", owned=False),
        s.MakeDir("/a/b"),
        s.WriteFile("/a/b/f", "", 0o644),
        s.MakeCgroup("/g", shared=True),
        s.MakeCgroup("/g/x"),
        s.WriteKernelFile("/g/x/limit", ("1",)),
    )

    assert s.undo(steps) == (
        s.RemoveCgroup("/g/x", False),
        s.RemoveCgroup("/g", True),
        s.RemoveTree("/a/b"),
        s.RemoveEmptyDir("/a"),
    )
