/**
 * node_commit.mjs: the peer `fs.write` and `fs.fdatasync` of node:fs, in Node.js: one record after the
 * other, each written and made durable before the next.
 *
 * Arguments: path, bytes of the file, bytes of a record.
 *
 * @module
 */

import { fdatasync, openSync, write } from "node:fs";
import process from "node:process";
import { promisify } from "node:util";
import { runTasks, serveRuns } from "./tasks.mjs";

const [path, ...numbers] = process.argv.slice(2);
const [fileBytes, recordBytes] = numbers.map(Number);
const fd = openSync(path, "r+");
const [writeAt, syncData] = [promisify(write), promisify(fdatasync)];
const record = new Uint8Array(recordBytes).fill(7);
let at = 0;

await serveRuns((seconds) =>
  runTasks(1, seconds, async () => {
    await writeAt(fd, record, 0, recordBytes, at);
    await syncData(fd);
    at = (at + recordBytes) % (fileBytes - recordBytes);
  })
);
