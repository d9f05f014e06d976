/**
 * deno_read.ts: a whole program: reads a file by `Deno.readFile`, if it is given one, and prints
 * how many ms of processor time that took, with Deno's own start.
 *
 * Arguments: path; none: nothing is read.
 *
 * @module
 */

import process from "node:process";

const [path] = Deno.args;
if (path !== undefined) await Deno.readFile(path);
const { user, system } = process.cpuUsage();
console.log((user + system) / 1000);
