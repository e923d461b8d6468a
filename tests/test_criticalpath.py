"""The longest chain of a graph, against all of its chains."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from taskq.web.criticalpath import Path, Step, longest


def test_of_nothing_the_path_is_empty() -> None:
    assert longest([]) == Path((), 0.0)


def test_the_longer_way_of_a_diamond_is_the_path_in_whatever_order_it_comes() -> None:
    steps = [Step("d", "bc", 1), Step("b", "a", 5), Step("c", "a", 2), Step("a", "", 1)]
    for order in (steps, steps[::-1]):
        assert longest(order) == Path(("a", "b", "d"), 7)


def test_of_chains_that_take_no_time_yet_the_one_with_more_tasks_is_the_path() -> None:
    assert longest([Step("x", "", 0), Step("b", "a", 0), Step("a", "", 0)]).ids == ("a", "b")


def test_what_is_unknown_or_in_a_circle_does_no_harm() -> None:
    steps = [Step("a", ["gone"], 2), Step("b", "c", 1), Step("c", "b", 1), Step("d", "d", 1)]
    assert longest(steps) == Path(("a",), 2)


def test_a_chain_of_a_hundred_thousand_needs_no_recursion() -> None:
    steps = [Step(n, [n - 1] if n else [], 1) for n in reversed(range(100_000))]
    assert longest(steps).seconds == 100_000


def chains(steps: dict[int, Step[int]], end: int) -> Iterator[list[int]]:
    """All chains that end here."""
    yield [end]
    for before in steps[end].after:
        yield from ([*chain, end] for chain in chains(steps, before))


@given(st.lists(st.tuples(st.integers(0, 9), st.sets(st.integers(0, 7), max_size=3)), max_size=8))
def test_no_chain_takes_longer(drawn: list[tuple[int, set[int]]]) -> None:
    steps = {
        n: Step(n, sorted(b for b in before if b < n), float(seconds))
        for n, (seconds, before) in enumerate(drawn)
    }
    path = longest(steps.values())
    assert path.seconds == sum(steps[id].seconds for id in path.ids)
    for id, before in zip(path.ids[1:], path.ids, strict=False):
        assert before in steps[id].after
    for end in steps:
        for chain in chains(steps, end):
            assert sum(steps[id].seconds for id in chain) <= path.seconds
