/**
 * groups.ts: the whole programme of the demo: which workloads, who takes part in which group.
 *
 * @module
 */

import { aioContenders } from "./aio_contenders.ts";
import { type Group, type Manner, TASKS, type Workload } from "./contender.ts";
import { denoContenders } from "./deno_contenders.ts";

/** Bytes of a read at random: a page of most databases' disks. */
const RANDOM_BYTES = 4 * 1024;
/** Bytes of a read in sequence: what the kernel itself reads ahead by default. */
export const SEQUENTIAL_BYTES = 128 * 1024;

const MANNERS: Readonly<Record<Manner, string>> = {
  tasks: `${TASKS} at a time`,
  oneTask: "one at a time, awaited",
  blocking: "one at a time, blocking",
};

/** Everything that will be measured. */
export interface Programme {
  /** In the order of the table. */
  readonly groups: readonly Group[];
  /** What this machine lacks, and what to bear in mind, in sentences. */
  readonly notes: string[];
}

/**
 * Opens everything that takes part.
 *
 * @param path the file
 * @param windowBytes how much of it is read, from its start
 * @param resources closes what is opened here
 */
export async function openProgramme(
  path: string,
  windowBytes: number,
  resources: AsyncDisposableStack,
): Promise<Programme> {
  const groups: Group[] = [];
  const notes = new Set<string>();
  for (const isSequential of [false, true]) {
    const readBytes = isSequential ? SEQUENTIAL_BYTES : RANDOM_BYTES;
    const workload: Workload = { path, windowBytes, readBytes, isSequential };
    const theirs = await denoContenders(workload, resources);
    const ours = await aioContenders(workload, resources);
    for (const note of ours.notes) notes.add(note);
    const what = `${readBytes / 1024} KiB ${isSequential ? "in sequence" : "at random"}`;
    for (const manner of Object.keys(MANNERS) as Manner[]) {
      const contenders = [...theirs[manner], ...ours.contenders[manner]];
      groups.push({ title: `${what}, ${MANNERS[manner]}`, readBytes, contenders });
    }
  }
  return { groups, notes: [...notes] };
}
