"""taskq: a job queue in Postgres whose main job is running AI agents."""

from taskq.app import App, Role
from taskq.client import Done, Queue
from taskq.errors import Fail, LeaseLost, Retry, Snooze, TaskFailed, TaskqError
from taskq.task import SyncTask, Task
from taskq.tool import Answer, Refused, Tool, ToolCall, ToolError, Unknown

__all__ = [
    "Answer",
    "App",
    "Done",
    "Fail",
    "LeaseLost",
    "Queue",
    "Refused",
    "Retry",
    "Role",
    "Snooze",
    "SyncTask",
    "Task",
    "TaskFailed",
    "TaskqError",
    "Tool",
    "ToolCall",
    "ToolError",
    "Unknown",
]
__version__ = "0.1.0"
