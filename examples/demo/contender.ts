/**
 * contender.ts: what takes part in the demo: a way to read, among others that are used alike.
 *
 * @module
 */

/** Tells where the next read begins. */
export type NextOffset = () => number;

/** What all contenders read. */
export interface Workload {
  /** The file. */
  readonly path: string;
  /** How much of it is read, from its start; a multiple of `readBytes`. */
  readonly windowBytes: number;
  /** Bytes of one read. */
  readonly readBytes: number;
  /** Whether reads follow each other, or are at random. */
  readonly isSequential: boolean;
}

/** One way to read. */
export interface Contender {
  /** What the table calls it. */
  readonly name: string;
  /** What the verdict calls it; left out: the verdict leaves it out. */
  readonly inVerdict?: string;
  /** How long it runs before it is measured, if that is longer than for others. */
  readonly warmUpMs?: number;
  /**
   * Reads until a time.
   *
   * @param until as `performance.now()` tells it
   * @returns how many reads were done
   */
  run(until: number): number | Promise<number>;
}

/** Contenders that are used alike, so that they can be compared: the first is the measure. */
export interface Group {
  /** What is read, and how it is waited for. */
  readonly title: string;
  /** The same as the verdict says it; left out: the verdict leaves it out. */
  readonly inVerdict?: string;
  /** Whether reads go past the page cache. */
  readonly isDirect: boolean;
  /** Bytes of one read. */
  readonly readBytes: number;
  /** Its contenders. */
  readonly contenders: readonly Contender[];
}

/** How reads are waited for; every contender of a group does it the same way. */
export type Manner = "tasks" | "oneTask" | "blocking";

/** Contenders by manner. */
export type ByManner = Readonly<Record<Manner, Contender[]>>;

/** How many tasks read at once. */
export const TASKS = 32;

/** Reads between two looks at the clock where a read may take under a microsecond. */
const READS_PER_LOOK = 16;

/** The offsets of a workload; every contender gets the same ones. */
export function offsetsOf(workload: Workload): NextOffset {
  const blocks = workload.windowBytes / workload.readBytes;
  if (workload.isSequential) {
    let block = -1;
    return () => {
      block = (block + 1) % blocks;
      return block * workload.readBytes;
    };
  }
  let state = 0x2545f491; // xorshift32: fast enough to vanish beside a read.
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) % blocks) * workload.readBytes;
  };
}

/** Has tasks read one after another each, all at once; `read` gets the number of its task. */
export async function runTasks(
  count: number,
  until: number,
  read: (task: number) => Promise<unknown>,
): Promise<number> {
  let reads = 0;
  await Promise.all(Array.from({ length: count }, async (_, task) => {
    while (performance.now() < until) {
      await read(task);
      reads++;
    }
  }));
  return reads;
}

/** Reads without ever giving way to the event loop. */
export function runBlocking(until: number, read: () => void): number {
  let reads = 0;
  while (performance.now() < until) {
    for (let i = 0; i < READS_PER_LOOK; i++) read();
    reads += READS_PER_LOOK;
  }
  return reads;
}

/** Checks that a read was whole; the window ends within the file. */
export function expectBytes(workload: Workload, bytes: number | null): void {
  if (bytes === workload.readBytes) return;
  throw new Error(
    `Read ${
      bytes ?? 0
    } of ${workload.readBytes} bytes: "${workload.path}" became shorter meanwhile`,
  );
}
