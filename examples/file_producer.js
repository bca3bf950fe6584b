#!/usr/bin/env node
// Sends each argument to a queue's file in an mqxfs mount.
//
//     file_producer.js /mnt/mqueue/jobs 'make this' 'then that' stop
'use strict';
const fs = require('fs');

const [queue, ...jobs] = process.argv.slice(2);
for (const job of jobs) fs.appendFileSync(queue, job); // one write is one message; waits for room
