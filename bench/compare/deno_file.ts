/**
 * deno_file.ts: the peer `Deno.FsFile`, asynchronous: it has one position a file, so each task
 * opens the file for itself, seeks and reads.
 *
 * Arguments: path, bytes of the file, tasks, bytes of a block.
 *
 * @module
 */

import { randomOffsets, runTasks, serveRuns } from "./tasks.mjs";

const [path, ...numbers] = Deno.args;
const [fileBytes, tasks, blockBytes] = numbers.map(Number) as [number, number, number];
const files = await Promise.all(Array.from({ length: tasks }, () => Deno.open(path!)));
const buffers = files.map(() => new Uint8Array(blockBytes));
const nextOffset = randomOffsets(fileBytes / blockBytes, blockBytes);

await serveRuns((seconds: number) =>
  runTasks(tasks, seconds, async (task: number) => {
    await files[task]!.seek(nextOffset(), Deno.SeekMode.Start);
    await files[task]!.read(buffers[task]!);
  })
);
