/**
 * tasks.mjs: a number of tasks that each await one operation after another, for so long: plain JavaScript,
 * so that Deno and Node.js run the same.
 *
 * @module
 */

import process from "node:process";

/** Every so many operations of a task one is timed: the clock costs as much as a tenth of a cached read. */
const OPERATIONS_PER_SAMPLE = 32;

/**
 * Where in the file, at random: the upper bits of a linear congruential generator.
 *
 * @param {number} blocks a power of two
 * @param {number} blockBytes
 * @returns {() => number}
 */
export function randomOffsets(blocks, blockBytes) {
  const shift = 32 - Math.log2(blocks);
  let state = 12345;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> shift) * blockBytes;
  };
}

/**
 * Runs tasks for so long.
 *
 * @param {number} tasks
 * @param {number} seconds
 * @param {(task: number) => Promise<unknown>} operation
 */
export async function runTasks(tasks, seconds, operation) {
  const samples = [];
  let operations = 0;
  let isOver = false;
  const task = async (number) => {
    for (let i = 0; !isOver; i++) {
      if (i % OPERATIONS_PER_SAMPLE === 0) {
        const start = performance.now();
        await operation(number);
        samples.push(performance.now() - start);
      } else await operation(number);
      operations++;
    }
  };
  setTimeout(() => isOver = true, seconds * 1000);
  const cpu = process.cpuUsage();
  const start = performance.now();
  await Promise.all(Array.from({ length: tasks }, (_, number) => task(number)));
  const tookSeconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  samples.sort((a, b) => a - b);
  const percentile = (share) => samples[Math.floor(samples.length * share)] * 1000;
  return {
    iops: operations / tookSeconds,
    p50Us: percentile(0.5),
    p99Us: percentile(0.99),
    cpuUs: (user + system) / operations,
  };
}

/**
 * Does one run for each line of the standard input, whose number is the seconds, and writes what came of
 * it as a line.
 *
 * @param {(seconds: number) => Promise<unknown>} run
 */
export async function serveRuns(run) {
  let buffered = "";
  for await (const chunk of process.stdin) {
    buffered += chunk;
    for (let end = buffered.indexOf("\n"); end >= 0; end = buffered.indexOf("\n")) {
      const seconds = Number(buffered.slice(0, end));
      buffered = buffered.slice(end + 1);
      process.stdout.write(`${JSON.stringify(await run(seconds))}\n`);
    }
  }
}
