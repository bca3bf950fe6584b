#!/usr/bin/env python3
"""A worker on a queue's file in an mqxfs mount: takes one message after the other until it is told
to stop.  Start as many as you like: each job goes to one of them.

    file_worker.py /mnt/mqueue/jobs
"""
import sys

queue = sys.argv[1]
while True:
    with open(queue, "rb") as file:
        job = file.read()  # waits for a message; all of it
    if job == b"stop":
        break
    print("worker: doing", job.decode(), flush=True)
