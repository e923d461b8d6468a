"""The roles that a program can play, declared with a decorator.

app = App()

@app.role("resize", timeout=timedelta(minutes=5), max_attempts=3)
async def resize(task: Task) -> dict: ...
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar

from taskq.errors import SettingsError
from taskq.tool import Effect, Tool, from_function

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)
Isolation = Literal["loop", "thread", "process"]
Kind = Literal["function", "agent"]
NO_TIME = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role and the function that plays it.

    `timeout`, `max_attempts` and `backoff` hold for the tasks that do not name their own; None leaves the
    design's defaults (30 min; 4; 30 s, 2 min, 10 min).  `payload_type` is what the payload is checked into
    and given as the second argument; None gives the handler the task alone.

    `kind`, `model` and `repositories` (globs over the checkouts that it may change) are shown to people.
    """

    name: str
    handler: Handler
    isolation: Isolation = "loop"
    timeout: timedelta | None = None
    max_attempts: int | None = None
    backoff: Sequence[timedelta] | None = None
    payload_type: Any = None
    description: str | None = None
    repositories: Sequence[str] = ()
    model: str | None = None
    kind: Kind = "function"

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 200:
            raise SettingsError(f"a role has a name of 1 to 200 characters, not {self.name!r}")
        self._check_limits()
        self._check_handler()

    def _check_limits(self) -> None:
        if self.timeout is not None and self.timeout <= NO_TIME:
            raise SettingsError(f"role {self.name}: its timeout must be longer than nothing")
        if self.max_attempts is not None and not 1 <= self.max_attempts <= 32_767:
            raise SettingsError(f"role {self.name}: max_attempts must be 1 to 32767, not {self.max_attempts}")
        if self.backoff is not None and (not self.backoff or min(self.backoff) < NO_TIME):
            raise SettingsError(f"role {self.name}: backoff must have a step, and none below zero")

    def _check_handler(self) -> None:
        is_async = inspect.iscoroutinefunction(self.handler)
        if self.isolation == "loop" and not is_async:
            raise SettingsError(
                f"role {self.name}: only an async function runs on the event loop; others take a thread"
            )
        if self.isolation != "loop" and is_async:
            raise SettingsError(
                f"role {self.name}: an async function runs on the event loop, not in a {self.isolation}"
            )
        if self.isolation == "process" and "<" in getattr(self.handler, "__qualname__", "<"):
            raise SettingsError(
                f"role {self.name}: a new process imports its function: put it at the top of a module"
            )


class App:
    """A set of roles, and the tools that its agents may call."""

    def __init__(self) -> None:
        self.roles: dict[str, Role] = {}
        self.tools: dict[str, Tool] = {}

    def role(
        self,
        name: str,
        *,
        timeout: timedelta | None = None,
        max_attempts: int | None = None,
        backoff: Sequence[timedelta] | None = None,
        isolation: Literal["thread", "process"] | None = None,
    ) -> Callable[[H], H]:
        """Declare that the decorated function plays this role.

        An async function runs on the worker's event loop, a sync one in a thread of its own, or in a
        process of its own with `isolation="process"` (CPU-bound or untrusted work: it is killed when it must
        end).  A second, annotated parameter gets the payload decoded and checked into that type (msgspec:
        structs, dataclasses, …).

        :raises SettingsError: the name is taken, or the function does not fit.
        """

        def declare(function: H) -> H:
            how: Isolation = isolation or ("loop" if inspect.iscoroutinefunction(function) else "thread")
            self.add(
                Role(
                    name=name,
                    handler=function,
                    isolation=how,
                    timeout=timeout,
                    max_attempts=max_attempts,
                    backoff=backoff,
                    payload_type=payload_type(name, function),
                    description=(inspect.getdoc(function) or "").partition("\n")[0] or None,
                )
            )
            return function

        return declare

    def tool(
        self,
        *,
        effect: Effect,
        needs_approval: bool = False,
        name: str | None = None,
        verify: Callable[..., Any] | None = None,
    ) -> Callable[[H], H]:
        """Declare that the decorated function is a tool for agents; see `taskq.tool.from_function`.

        :param effect: what it does to the world, and so what may follow a crash: `read` and `idempotent`
            run again with the same key, `transactional` was rolled back, `unsafe` is never run twice.
        :param needs_approval: a person must approve each call first.
        :param name: what the model calls it; the function's name.
        :param verify: asked after a crash in an unsafe call, with the call and its input: returns the answer
            if the effect happened, None if it did not, and raises `Unknown` if it cannot tell.
        :raises SettingsError: the name is taken, or the function cannot be a tool.
        """

        def declare(function: H) -> H:
            tool = from_function(
                function, effect=effect, needs_approval=needs_approval, name=name, verify=verify
            )
            if tool.name in self.tools:
                raise SettingsError(f"tool {tool.name} is declared twice")
            self.tools[tool.name] = tool
            return function

        return declare

    def add(self, role: Role) -> None:
        """Declare a role without the decorator.

        :raises SettingsError: the name is taken.
        """
        if role.name in self.roles:
            raise SettingsError(f"role {role.name} is declared twice")
        self.roles[role.name] = role

    def select(self, globs: Iterable[str]) -> list[str]:
        """The names of the roles that match one of these globs, in the order of their declaration.

        :raises SettingsError: a glob matches none.
        """
        globs = list(globs)
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in self.roles):
                raise SettingsError(f"no role matches {glob!r}; there are: {', '.join(self.roles) or 'none'}")
        return [name for name in self.roles if any(fnmatchcase(name, glob) for glob in globs)]


def payload_type(name: str, function: Handler) -> Any:
    """The annotation of the second parameter, or None when there is no second one.

    :raises SettingsError: the parameters are not (task) or (task, payload: Type).
    """
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) not in (1, 2):
        raise SettingsError(
            f"role {name}: a handler takes (task) or (task, payload: Type), not {len(parameters)} parameters"
        )
    if len(parameters) == 1:
        return None
    try:
        hint = typing.get_type_hints(function).get(parameters[1].name)
    except NameError as error:
        raise SettingsError(
            f"role {name}: {error}; its annotations must name what its module knows"
        ) from error
    if hint is None:
        raise SettingsError(
            f"role {name}: annotate {parameters[1].name} with the type that the payload is checked into"
        )
    return hint
