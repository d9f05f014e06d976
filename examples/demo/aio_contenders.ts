/**
 * aio_contenders.ts: what this module has: every method that the machine has, buffered and direct.
 *
 * @module
 */

import {
  Aio,
  type AioFile,
  AioReturn,
  availableMethods,
  invalidWaitRef,
  type IoMethodName,
  reportResult,
} from "../../mod.ts";
import {
  type Contender,
  expectBytes,
  type Manner,
  offsetsOf,
  runBlocking,
  runTasks,
  TASKS,
  type Workload,
} from "./contender.ts";

/** What this module has on this machine. */
export interface AioContenders {
  /** Who takes part, by manner. */
  readonly contenders: Readonly<Record<Manner, Contender[]>>;
  /** What cannot take part and why, and what to bear in mind, in sentences. */
  readonly notes: readonly string[];
}

/**
 * Opens every method that the machine has.
 *
 * @param workload what is read
 * @param resources closes what is opened here
 */
export async function aioContenders(
  workload: Workload,
  resources: AsyncDisposableStack,
): Promise<AioContenders> {
  const contenders: Record<Manner, Contender[]> = { tasks: [], oneTask: [], blocking: [] };
  const notes: string[] = [];
  for (const method of availableMethods()) {
    if (!method.ok) {
      notes.push(`The method ${method.name} is not available: ${method.reason}`);
      continue;
    }
    const aio = resources.use(await Aio.open({ method: method.name }));
    const buffered = resources.use(await aio.openFile(workload.path));
    addFile(contenders, { workload, method: method.name, aio, file: buffered });
    const direct = resources.use(await aio.openFile(workload.path, { direct: "optional" }));
    if (direct.direct && workload.readBytes % direct.alignment.offset === 0) {
      addFile(contenders, { workload, method: method.name, aio, file: direct });
      notes.push(`"direct" lines set the disk against Deno's page cache: Deno has no direct I/O.`);
    } else {notes.push(
        `The file system has no direct I/O for reads of ${workload.readBytes} bytes.`,
      );}
  }
  return { contenders, notes };
}

/** A file opened with one method. */
interface Opened {
  readonly workload: Workload;
  readonly method: IoMethodName;
  readonly aio: Aio;
  readonly file: AioFile;
}

function addFile(contenders: Record<Manner, Contender[]>, opened: Opened): void {
  const { workload, method, aio, file } = opened;
  const next = offsetsOf(workload);
  // Memory of the module's own is read into without a copy; any Uint8Array would do.
  const buffers = Array.from({ length: TASKS }, () => aio.alloc(workload.readBytes));
  const name = (call: string): string => `aio ${method}: ${call}${file.direct ? ", direct" : ""}`;
  const read = async (task: number): Promise<void> =>
    expectBytes(workload, await file.readAt(buffers[task]!, next()));
  contenders.tasks.push(
    { name: name("readAt"), run: (until) => runTasks(TASKS, until, read) },
    { name: name(`core, batches of ${TASKS}`), run: makeBatches(opened, buffers) },
  );
  contenders.oneTask.push({ name: name("readAt"), run: (until) => runTasks(1, until, read) });
  const readSync = (): void => expectBytes(workload, file.readAtSync(buffers[0]!, next()));
  contenders.blocking.push({
    name: name("readAtSync"),
    run: (until) => runBlocking(until, readSync),
  });
}

/** The core layer: as many reads as there are buffers are staged, submitted at once, awaited. */
function makeBatches(
  { workload, aio, file }: Opened,
  buffers: readonly Uint8Array[],
): (until: number) => Promise<number> {
  const next = offsetsOf(workload);
  const slots = buffers.map((buffer) => ({ buffer, ret: new AioReturn(), ref: invalidWaitRef() }));
  const startAll = (): void => {
    for (const { buffer, ret, ref } of slots) {
      const handle = aio.acquire(null, ret);
      handle.waitRef(ref);
      handle.setIovec(buffer);
      file.startReadv(handle, next());
    }
  };
  return async (until) => {
    let reads = 0;
    while (performance.now() < until) {
      aio.batch(startAll);
      for (const { ret: { result, targetData }, ref } of slots) {
        if (!aio.checkDone(ref)) await aio.wait(ref);
        if (result.status === "error") reportResult(result, targetData, "error");
        expectBytes(workload, result.result);
      }
      reads += slots.length;
    }
    return reads;
  };
}
