"""The draft: the form of a new mission, with one part for each of its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from taskq.web.forms import Form
from taskq.web.ids import new_id

MOST: Final = 50
"""Tasks of one form at most; more are for the API."""


@dataclass
class Draft:
    """What concerns the whole mission, and what concerns each task.

    The fields of task 2 are called `2.role`, `2.name`, …; in its own part they are `role` and `name`.
    """

    form: Form
    parts: list[Form]

    @classmethod
    def blank(cls, **first: str | list[str]) -> Draft:
        """A form that nobody has touched yet, with this in its first task."""
        return cls(Form.showing(once=str(new_id())), [part(**first)])

    @classmethod
    def read(cls, form: Form) -> Draft:
        """The draft that was posted."""
        count = min(max(number(form.text("tasks")), 1), MOST)
        own = Form(
            {name: texts for name, texts in form.typed.items() if "." not in name},
            {name: said for name, said in form.errors.items() if "." not in name},
        )
        return cls(own, [form.part(f"{n}.") for n in range(count)])

    def copy(self) -> Draft:
        """The same as it was typed, without what is wrong with it."""
        return Draft(Form(self.form.typed), [Form(part.typed) for part in self.parts])

    def add(self) -> None:
        """One task more; it builds on the one before."""
        if len(self.parts) < MOST:
            self.parts.append(part(after=str(len(self.parts) - 1)))

    def remove(self, place: int) -> None:
        """One task less; the others know those that they build on by their new places."""
        if len(self.parts) < 2 or not 0 <= place < len(self.parts):
            return
        del self.parts[place]
        for each in self.parts:
            places = [number(text) for text in each.all("after") if number(text) != place]
            each.typed["after"] = [str(n - (n > place)) for n in places]

    @property
    def has_errors(self) -> bool:
        return any(form.errors for form in (self.form, *self.parts))

    @property
    def errors(self) -> Iterator[tuple[str, str]]:
        """The ids of the fields that are wrong, and what is."""
        for name, message in self.form.errors.items():
            yield f"f-{name}", message
        for place, each in enumerate(self.parts):
            for name, message in each.errors.items():
                yield f"t{place}-{name}", message


def part(**values: str | list[str]) -> Form:
    """A task that nobody has typed yet."""
    return Form.showing(**{"priority": "0", "on_dependency_failure": "fail", **values})


def number(text: str) -> int:
    """The number that a text is; -1 when it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
