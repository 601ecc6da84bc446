"""Descriptors that are watched, forgotten and closed."""

import os
import select
import time

from runtime.io.polling import Poll


def test_whoever_watches_is_called_with_the_descriptor() -> None:
    poll, called = Poll(), list[int]()
    reading, writing = os.pipe()
    poll.watch(reading, called.append)

    poll.turn(0.0)
    os.write(writing, b"x")
    poll.turn(5.0)

    assert called == [reading]
    os.close(reading)
    os.close(writing)


def test_a_turn_ends_when_time_is_up_and_not_before() -> None:
    poll = Poll()
    began = time.monotonic()

    poll.turn(0.05)

    assert 0.05 <= time.monotonic() - began < 30


def test_no_time_is_too_long_for_the_kernel() -> None:
    poll, called = Poll(), list[int]()
    reading, writing = os.pipe()
    poll.watch(reading, called.append)
    os.write(writing, b"x")

    poll.turn(1e12)

    assert called == [reading]
    os.close(reading)
    os.close(writing)


def test_what_was_forgotten_in_the_same_turn_is_not_called() -> None:
    poll, called = Poll(), list[int]()
    pipes = [os.pipe() for _ in range(2)]
    (first, _), (second, _) = pipes

    def forget_all(descriptor: int) -> None:
        called.append(descriptor)
        poll.forget(first)
        poll.forget(second)

    for reading, writing in pipes:
        poll.watch(reading, forget_all)
        os.write(writing, b"x")
    poll.turn(5.0)
    poll.turn(0.0)
    poll.forget(first)

    assert len(called) == 1
    assert not poll.is_watched(first)
    for descriptor in (each for pipe in pipes for each in pipe):
        os.close(descriptor)


def test_only_hanging_up_can_be_watched() -> None:
    poll, called = Poll(), list[int]()
    reading, writing = os.pipe()
    poll.watch(reading, called.append, 0)

    os.write(writing, b"x")
    poll.turn(0.0)
    assert called == []
    os.close(writing)
    poll.turn(5.0)
    assert called == [reading]

    poll.watch(reading, called.append, select.POLLIN)
    poll.turn(5.0)
    assert called == [reading, reading]
    os.close(reading)
