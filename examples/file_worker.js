#!/usr/bin/env node
// A worker on a queue's file in an mqxfs mount: takes one message after the other until it is told
// to stop.  Start as many as you like: each job goes to one of them.
//
//     file_worker.js /mnt/mqueue/jobs
'use strict';
const fs = require('fs');

const queue = process.argv[2];
const room = Buffer.alloc(1 << 20); // for the largest message
for (;;) {
    // Not readFileSync: it reads as many bytes as the queue had when it looked, and others read, too.
    const file = fs.openSync(queue, 'r');
    const job = room.toString('utf8', 0, fs.readSync(file, room)); // waits for a message
    fs.closeSync(file);
    if (job === 'stop') break;
    console.log('worker: doing', job);
}
