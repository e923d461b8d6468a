"""The worker: claims what it can play, runs it, keeps the leases alive, hands in what is finished.

worker.py       one worker from start to drained stop
exchanger.py    carries tasks between the queue and the slots, with two hands
traffic.py      what the hands carry, and one exchange of either
hand.py         one session that exchanges, and what it holds
first_hand.py   exchanges and rests
second_hand.py  helps while much has gathered, and with what a batch cannot hand in
sleep.py        when to look, when to sleep, and how no wake-up is lost
stage.py        the slots, the attempts in them, and what their ends mean
floors.py       where the last claims ended
playing.py      one attempt: the handler and its end
clock.py        the timeouts of all that runs
outcome.py      what an exception means
reports.py      writing down how attempts ended
heart.py        heartbeats and the watch over other workers, in a thread of its own
line.py         progress, log and messages of a running task
pauses.py       how long to wait before trying the database again
threads.py      the way back of sync handlers in threads
processes.py    sync handlers in processes
fleet.py        several worker processes under one parent
"""

from taskq.worker.fleet import run_worker
from taskq.worker.worker import Worker

__all__ = ["Worker", "run_worker"]
