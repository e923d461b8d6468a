"""A day of programs for web_world.py: the fleet, small tasks, what is wrong, what may be spent."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from web_world_rows import (
    AGENTS,
    ARCHITECT,
    BACKEND,
    CHECKER,
    DATA,
    DAY,
    ERRORS,
    FRONTEND,
    HOSTILE,
    PAUSED,
    PRODUCT,
    PROGRAMS,
    QA,
    UNPLAYED,
    World,
)


def add_workers(world: World) -> None:
    """Two workers for agents, two for programs (one of them drains), one in trouble."""
    programs = [*PROGRAMS, PAUSED]
    fleet = {
        "agents-1": ("ams-agents-1:2114", list(AGENTS), 6, False, None),
        "agents-2": ("ams-agents-2:977", list(AGENTS), 6, False, None),
        "build-1": ("ams-build-1:31", programs, 20, False, None),
        "build-2": ("ams-build-2:31", programs, 20, True, None),
        "build-3": (
            "fra-build-3:411",
            ["resize"],
            4,
            False,
            "the event loop was blocked for 2.8 s: a handler calls something that is not async",
        ),
    }
    for key, (name, roles, slots, draining, trouble) in fleet.items():
        world.workers[key] = uuid4()
        world.add(
            "workers",
            id=world.workers[key],
            name=name,
            roles=roles,
            concurrency=slots,
            version="0.4.0",
            lease="1 day",
            draining=draining,
            running=0,
            trouble=trouble,
            started_at=world.ago(hours=world.rng.uniform(2, 90)),
            heartbeat_at=world.ago(seconds=world.rng.uniform(1, 14)),
        )
    described = {
        ARCHITECT: "Turns an objective into a design that several engineers can build side by side.",
        BACKEND: "Builds what runs on the server, with the tests that show it.",
        FRONTEND: "Builds what people see and touch, and how it is shipped.",
        DATA: "Builds pipelines, evaluations and what models are fed.",
        CHECKER: "Looks for the source of every figure, and says where there is none.",
        PRODUCT: "Says what is worth doing, for whom, and when it is done.",
        QA: "Tries to prove a result wrong or unsafe before people rely on it.",
        "resize": "Makes the sizes of a picture that pages ask for.",
        "render_report": "Draws a report as a PDF.",
        PAUSED: "Fetches the pages of a site that we may fetch.",
    }
    for role, words in described.items():
        world.add(
            "roles",
            name=role,
            description=words,
            timeout="20 min",
            max_attempts=4,
            backoff=["1 s", "15 s", "1 min"],
            declared_at=world.ago(hours=2),
            kind="agent" if role in AGENTS else "function",
            model=None
            if role not in AGENTS
            else "claude-opus-5-5"
            if role in (ARCHITECT, QA)
            else "claude-sonnet-5-5",
            repositories=["billing", "web-*"] if role in (BACKEND, FRONTEND) else [],
        )
    world.add(
        "role_pauses",
        role=PAUSED,
        reason="The robots.txt of two sites changed; legal looks at it.",
        actor="maria",
        at=world.ago(minutes=47),
    )


def add_programs(world: World) -> None:
    """A day of small tasks, more of them by day than by night, some that failed; and what waits now."""
    rng = world.rng
    for _ in range(1400):
        role = rng.choices(list(PROGRAMS), (60, 15, 18, 7))[0]
        seconds, names = PROGRAMS[role]
        created = world.ago(hours=24 * rng.random() ** 1.35)
        started = created + timedelta(seconds=rng.expovariate(1 / 0.8))
        end = started + timedelta(seconds=rng.lognormvariate(0, 0.5) * seconds)
        if end > world.now:
            continue
        failed = rng.random() < (0.012 if role != "render_report" else 0.08)
        kind, message, _traceback = ERRORS[rng.randrange(5)]
        world.task(
            role,
            created,
            "failed" if failed else "completed",
            name=rng.choice(names),
            payload={"path": rng.choice(names), "width": rng.choice((320, 640, 1280))},
            started_at=started,
            finished_at=end,
            created_by="shop",
            **(
                {"error_kind": kind, "error": message, "attempt": 4}
                if failed
                else {"result": {"bytes": rng.randint(4000, 900_000)}}
            ),
        )
    for role in PROGRAMS:
        for n, name in enumerate(PROGRAMS[role][1][: rng.randint(1, 3)]):
            started = world.ago(seconds=rng.uniform(1, 50))
            world.task(
                role,
                started - timedelta(seconds=1),
                "in_progress",
                name=name,
                started_at=started,
                created_by="shop",
                payload={"path": name},
                **({"progress": 0.4, "progress_note": "page 2 of 5"} if role == "render_report" else {}),
            )
            world.task(role, world.ago(seconds=3 + n), name=f"{name}, again", created_by="shop")
    for n in range(3):
        world.task(
            "send_digest", world.ago(hours=1), name=f"digest {n + 1}", run_at=world.now + DAY * (n + 1)
        )


def add_trouble(world: World) -> None:
    """What a person must look at."""
    for n in range(2):
        world.task(
            UNPLAYED,
            world.ago(hours=3 + n),
            name="Terms of the Lisbon contract",
            payload={"contract": 114 + n},
        )
    for n in range(5):
        world.task(PAUSED, world.ago(minutes=40 - n), name=f"https://site-{n}.example/")
    world.task(
        "resize",
        world.ago(hours=2),
        "failed",
        name=HOSTILE,
        error_kind="validation_error",
        error=HOSTILE,
        payload={"path": HOSTILE},
        started_at=world.ago(hours=2),
        finished_at=world.ago(hours=1.99),
        attempt=4,
    )
    world.task(
        "resize",
        world.ago(minutes=52),
        "in_progress",
        name="panorama-40000px.tif",
        started_at=world.ago(minutes=50),
        worker_id=world.workers["build-3"],
        cancel_requested_at=world.ago(minutes=4),
        progress=0.97,
        progress_note="writing tiles",
    )
    text = "anthropic: credit balance is too low; no agent asks it until: taskq gate resume anthropic"
    world.task(
        "alert",
        world.ago(minutes=9),
        name="exhausted:anthropic",
        payload={"kind": "exhausted:anthropic", "text": text},
        dedup_key="alert:exhausted:anthropic",
    )
    world.task(
        PRODUCT,
        world.ago(minutes=33),
        "awaiting_approval",
        name="Say no to dark patterns in onboarding",
        requires_approval=True,
        payload={"objective": "Write down which patterns we never use, and why."},
    )


def add_limits(world: World) -> None:
    """Budgets of roles by day, and the gates of providers."""
    for role, cost in ((ARCHITECT, 20.0), (BACKEND, 30.0), (QA, 12.0)):
        world.add(
            "budgets",
            scope="role",
            key=role,
            day=world.now.date(),
            tokens=None,
            cost=cost,
            turns=None,
            tool_calls=None,
            seconds=None,
            tokens_used=812_345,
            cost_used=round(cost * world.rng.uniform(0.3, 0.95), 4),
            turns_used=210,
            tool_calls_used=530,
            seconds_used=9000,
            set_by="maria",
        )
    gate = {
        "requests_per_minute": 50,
        "tokens_per_minute": 400_000,
        "requests": 31,
        "tokens": 180_000,
        "filled_at": world.now,
        "set_by": "maria",
    }
    world.add("gates", provider="anthropic", model="*", paused_until=None, reason=None, **gate)
    world.add(
        "gates",
        provider="anthropic",
        model="claude-opus-5-5",
        paused_until=world.now + timedelta(minutes=4),
        reason="429 from the provider: 40,000 input tokens per minute",
        **gate,
    )
