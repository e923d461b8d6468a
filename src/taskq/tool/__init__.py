"""Tools: what a model may ask a program to do.

    @app.tool(effect="idempotent")
    def set_price(call: ToolCall, article: str, cents: int) -> str:
        '''Set the price of an article.'''

model.py     what a tool is, what it is given, how it answers
function.py  a tool made of an annotated function
checkouts.py which checkouts globs name
"""

from taskq.task import Transaction
from taskq.tool.function import from_function, schema_of
from taskq.tool.model import (
    Answer,
    Effect,
    Input,
    Place,
    Refused,
    Tool,
    ToolCall,
    ToolError,
    Unknown,
)

__all__ = [
    "Answer",
    "Effect",
    "Input",
    "Place",
    "Refused",
    "Tool",
    "ToolCall",
    "ToolError",
    "Transaction",
    "Unknown",
    "from_function",
    "schema_of",
]
