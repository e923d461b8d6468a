"""What a person can do to a task.

subject    the task, as he sees it       asks      what he types
verbs      the table of verbs            foretold  what it says will happen
                                         deeds     what it does
"""

from taskq.web.acts.deeds import Act
from taskq.web.acts.subject import Question, Subject, find_subject
from taskq.web.acts.verbs import VERBS, Verb, possible

__all__ = ["VERBS", "Act", "Question", "Subject", "Verb", "find_subject", "possible"]
