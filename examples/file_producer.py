#!/usr/bin/env python3
"""Sends each argument to a queue's file in an mqxfs mount.

    file_producer.py /mnt/mqueue/jobs 'make this' 'then that' stop
"""
import sys

queue, *jobs = sys.argv[1:]
with open(queue, "wb", buffering=0) as file:  # unbuffered: one write is one message
    for job in jobs:
        file.write(job.encode())  # waits for room
