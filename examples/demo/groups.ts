/**
 * groups.ts: the whole programme of the demo: which workloads, and which contenders are in
 * which group.
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

/** How the table, and the verdict, say a manner. */
const MANNERS: Readonly<Record<Manner, { readonly title: string; readonly inVerdict: string }>> = {
  tasks: { title: `${TASKS} at a time`, inVerdict: `awaited, ${TASKS} at a time` },
  oneTask: { title: "one at a time, awaited", inVerdict: "awaited, one at a time" },
  blocking: { title: "one at a time, blocking", inVerdict: "blocking, one at a time" },
};

/** Everything that will be measured. */
export interface Programme {
  /** In the order of the table; the direct ones come last. */
  readonly groups: readonly Group[];
  /** The method that the verdict calls "this module". */
  readonly method: string;
  /** What this machine lacks, and what to bear in mind, in sentences. */
  readonly notes: string[];
}

/**
 * Opens everything that takes part.
 *
 * @param path the file
 * @param windowBytes how much of it is read, from its start
 * @param isWhole whether all ways are measured, or only what the verdict needs
 * @param resources closes what is opened here
 */
export async function openProgramme(
  path: string,
  windowBytes: number,
  isWhole: boolean,
  resources: AsyncDisposableStack,
): Promise<Programme> {
  const buffered: Group[] = [];
  const direct: Group[] = [];
  const notes = new Set<string>();
  let method = "";
  for (const isSequential of [false, true]) {
    const readBytes = isSequential ? SEQUENTIAL_BYTES : RANDOM_BYTES;
    const workload: Workload = { path, windowBytes, readBytes, isSequential };
    const theirs = await denoContenders(workload, resources);
    const ours = await aioContenders(workload, resources);
    method = ours.best;
    for (const note of ours.notes) notes.add(note);
    for (const manner of Object.keys(MANNERS) as Manner[]) {
      const contenders = [...theirs[manner], ...ours.buffered[manner]];
      buffered.push({ ...titles(workload, manner, false), contenders });
      if (ours.direct[manner].length === 0) continue;
      direct.push({ ...titles(workload, manner, true), contenders: ours.direct[manner] });
    }
  }
  const groups = [...buffered, ...direct];
  return { groups: isWhole ? groups : verdictOnly(groups), method, notes: [...notes] };
}

function titles(
  { readBytes, isSequential }: Workload,
  manner: Manner,
  isDirect: boolean,
): Omit<Group, "contenders"> {
  const size = `${readBytes / 1024} KiB`;
  const what = `${size} ${isSequential ? "in sequence" : "at random"}`;
  const title = `${what}, ${MANNERS[manner].title}${isDirect ? ", direct" : ""}`;
  // Large reads, and direct ones, are for many at a time; the rest is in the table.
  const isInVerdict = manner === "tasks" || !(isSequential || isDirect);
  const inVerdict = `${size} reads, ${MANNERS[manner].inVerdict}`;
  return { title, readBytes, isDirect, ...(isInVerdict ? { inVerdict } : {}) };
}

/** The groups and contenders that the verdict needs. */
export function verdictOnly(groups: readonly Group[]): Group[] {
  return groups.filter(({ inVerdict }) => inVerdict !== undefined).map((group) => ({
    ...group,
    contenders: group.contenders.filter(({ inVerdict }) => inVerdict !== undefined),
  }));
}
