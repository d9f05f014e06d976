/**
 * node_fs.mjs: the peer `fs.read` of node:fs, in Node.js or in Deno: tasks that await positioned reads.
 *
 * Arguments: path, bytes of the file, tasks, bytes of a block.
 *
 * @module
 */

import { openSync, read } from "node:fs";
import process from "node:process";
import { promisify } from "node:util";
import { randomOffsets, runTasks, serveRuns } from "./tasks.mjs";

const [path, ...numbers] = process.argv.slice(2);
const [fileBytes, tasks, blockBytes] = numbers.map(Number);
const fd = openSync(path);
const readAt = promisify(read);
const buffers = Array.from({ length: tasks }, () => new Uint8Array(blockBytes));
const nextOffset = randomOffsets(fileBytes / blockBytes, blockBytes);

await serveRuns((seconds) =>
  runTasks(tasks, seconds, (task) => readAt(fd, buffers[task], 0, blockBytes, nextOffset()))
);
