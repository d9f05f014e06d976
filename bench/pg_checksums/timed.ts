/**
 * timed.ts: how long a process takes, and how much of the processors.
 *
 * @module
 */

const RUSAGE_CHILDREN = -1;
const RUSAGE_BYTES = 144;

const libc = Deno.dlopen("libc.so.6", {
  getrusage: { parameters: ["i32", "buffer"], result: "i32" },
});

/** One run. */
export interface Timed {
  /** From the start of the process until it is gone. */
  readonly wholeMs: number;
  /** Of all processors, for user and system. */
  readonly processorMs: number;
}

/** Runs a program to its end. @throws if it fails */
export async function runTimed([command, ...args]: readonly string[]): Promise<Timed> {
  const before = childrenMs();
  const start = performance.now();
  const { success, stderr } = await new Deno.Command(command!, { args, stdout: "null" }).output();
  const wholeMs = performance.now() - start;
  if (!success) throw new Error(`${command} failed: ${new TextDecoder().decode(stderr)}`);
  return { wholeMs, processorMs: childrenMs() - before };
}

/** What the children that are gone have taken: two times, each in seconds and microseconds. */
function childrenMs(): number {
  const usage = new BigInt64Array(RUSAGE_BYTES / BigInt64Array.BYTES_PER_ELEMENT);
  libc.symbols.getrusage(RUSAGE_CHILDREN, usage);
  const [userSeconds, userMicros, systemSeconds, systemMicros] = Array.from(usage, Number);
  return Math.round((userSeconds! + systemSeconds!) * 1000 + (userMicros! + systemMicros!) / 1000);
}
