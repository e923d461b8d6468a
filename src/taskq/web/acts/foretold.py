"""What will happen, in plain words, when a person does something to this task in its status."""

from __future__ import annotations

from taskq.web.acts.subject import Subject


def cancel(subject: Subject) -> str:
    if subject.status == "in_progress":
        return (
            f"Its worker ({subject.row['worker'] or 'unknown'}) is asked to stop. It is cancelled once the"
            " worker has stopped it; what it has done by then stays done."
        )
    return "It is cancelled at once and does not run any more. A retry can bring it back."


def retry(subject: Subject) -> str:
    if subject.status == "queued":
        return "It runs now, as soon as a worker is free, instead of waiting for its time."
    again = " It goes on after its last finished step." if subject.is_agent else ""
    return (
        f"It gets one more attempt, number {subject.attempt + 1}: it is queued, or waits for what it depends"
        f" on.{again} Its old error stays in the list of attempts."
    )


def requeue(subject: Subject) -> str:
    return (
        f"It is taken from its worker ({subject.row['worker'] or 'unknown'}), whose result will be refused,"
        " and queued again. No attempt is spent. What it did outside the queue is not undone."
    )


def rerun(_subject: Subject) -> str:
    return (
        "A new task is put in, with the same role, payload and dependencies. This one stays as it is,"
        " and the new one names it."
    )


def approve(subject: Subject) -> str:
    question = subject.question
    if question is not None and question.asks:
        return f"The agent calls {question.tool} with the arguments that you see, and goes on."
    if question is not None and subject.why_parked:
        return (
            f"The agent is told that the outcome of {question.tool} is unknown and that you have looked at"
            " it, and goes on."
        )
    if subject.why_parked:
        return "The agent goes on with its next turn."
    return f"It is queued, and runs as soon as a worker that plays {subject.role} is free."


def reject(subject: Subject) -> str:
    stops = "The agent does not go on" if subject.has_begun else "It never runs"
    return f"{stops}: the task is cancelled with your reason. A retry can bring it back."


def complete(subject: Subject) -> str:
    return (
        f"You do what a worker of {subject.role} would do: the task ends with your answer, and what waits"
        " for it goes on. Completed is final."
    )


def steer(subject: Subject) -> str:
    return heard(subject, "The agent hears it before its next turn, as words of a person.")


def pause(subject: Subject) -> str:
    return heard(
        subject, "Before its next turn the agent stops and waits in the approvals until somebody approves."
    )


def heard(subject: Subject, words: str) -> str:
    """What is only for agents."""
    if subject.is_agent:
        return words
    return f"{words} But {subject.role} is not known to be an agent: a plain function never hears it."


def amend(_subject: Subject) -> str:
    return "The task has not begun. When it does, it gets the payload below in place of the old one."


def decline_call(subject: Subject) -> str:
    tool = subject.question.tool if subject.question else "the tool"
    return f"{tool} is not called. The agent is told that you refused, and why, and goes on."


def amend_call(subject: Subject) -> str:
    tool = subject.question.tool if subject.question else "the tool"
    return f"{tool} is called with the arguments below. The agent is told that you changed them, and goes on."
