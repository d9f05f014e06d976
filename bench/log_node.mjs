/**
 * log_node.mjs: the peer `fs.write` of log.ts, in Node.js: so many records at once, again and again,
 * without a flush. Prints records a second, and processor time for each, as JSON.
 *
 * Arguments: path, seconds, seconds before, bytes of a record, records at once.
 *
 * @module
 */

import { closeSync, openSync, write } from "node:fs";
import process from "node:process";

const [path, ...numbers] = process.argv.slice(2);
const [seconds, secondsBefore, recordBytes, records] = numbers.map(Number);
const fd = openSync(path, "w");
const record = new Uint8Array(recordBytes).fill(0x2e);

function batch() {
  return new Promise((resolve, reject) => {
    let left = records;
    const written = (error) => error !== null ? reject(error) : --left === 0 && resolve();
    for (let i = 0; i < records; i++) write(fd, record, 0, recordBytes, null, written);
  });
}

/** @returns the records */
async function run(ms) {
  const end = performance.now() + ms;
  let count = 0;
  for (; performance.now() < end; count += records) await batch();
  return count;
}

await run(secondsBefore * 1000);
const [start, before] = [performance.now(), process.cpuUsage()];
const count = await run(seconds * 1000);
const perSecond = count / (performance.now() - start) * 1000;
const { user, system } = process.cpuUsage(before);
console.log(JSON.stringify({ perSecond, cpuMicros: (user + system) / count }));
closeSync(fd);
