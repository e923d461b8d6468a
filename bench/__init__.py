"""The measurements of taskq: `python -m bench [NAME ...]`, or `make bench ARGS=drain`.

What is compared is measured side by side, in interleaved rounds on one server; ratios are what counts.
"""
