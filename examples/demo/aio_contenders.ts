/**
 * aio_contenders.ts: what this module has: every method that the machine has, buffered and direct.
 *
 * @module
 */

import { AioReturn, invalidWaitRef, reportResult } from "../../core/mod.ts";
import { availableMethods, type IoMethodName } from "../../methods/mod.ts";
import { Aio, type AioFile } from "../../mod.ts";
import {
  type ByManner,
  expectBytes,
  offsetsOf,
  runBlocking,
  runTasks,
  TASKS,
  type Workload,
} from "./contender.ts";

/** A pool of Workers grows by one at a time while reads queue for it. */
const POOL_GROWS_MS = 700;

/** What this module has on this machine. */
export interface AioContenders {
  /** The method that `"auto"` takes. */
  readonly best: string;
  /** Contenders that read from the page cache. */
  readonly buffered: ByManner;
  /** Contenders that read past it; empty where the file system has no direct I/O. */
  readonly direct: ByManner;
  /** What cannot take part and why, in sentences. */
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
  const buffered: ByManner = { tasks: [], oneTask: [], blocking: [] };
  const direct: ByManner = { tasks: [], oneTask: [], blocking: [] };
  const methods = availableMethods();
  const notes = methods.flatMap((method) =>
    method.ok ? [] : [`The method ${method.name} is not available: ${method.reason}`]
  );
  const [best, ...others] = methods.filter(({ ok }) => ok).map(({ name }) => name);
  for (const method of best === undefined ? [] : [best, ...others]) {
    const aio = resources.use(await Aio.open({ method }));
    const verdict = method === best ? { inVerdict: "this module" } : {};
    const file = resources.use(await aio.openFile(workload.path));
    addFile(buffered, { workload, method, aio, file, verdict });
    const past = resources.use(await aio.openFile(workload.path, { direct: "optional" }));
    if (past.direct && workload.readBytes % past.alignment.offset === 0) {
      addFile(direct, { workload, method, aio, file: past, verdict: { inVerdict: method } });
    } else if (method === best) {
      notes.push(`The file system has no direct I/O for reads of ${workload.readBytes} bytes.`);
    }
  }
  return { best: best ?? "none", buffered, direct, notes };
}

/** A file opened with one method. */
interface Opened {
  readonly workload: Workload;
  readonly method: IoMethodName;
  readonly aio: Aio;
  readonly file: AioFile;
  /** What the verdict calls its `readAt`, if it has a place there. */
  readonly verdict: { readonly inVerdict?: string };
}

function addFile(contenders: ByManner, opened: Opened): void {
  const { workload, method, aio, file, verdict } = opened;
  const next = offsetsOf(workload);
  // Memory of the module's own is read into without a copy; any Uint8Array would do.
  const buffers = Array.from({ length: TASKS }, () => aio.alloc(workload.readBytes));
  const name = (call: string): string => `aio ${method}: ${call}${file.direct ? ", direct" : ""}`;
  const read = async (task: number): Promise<void> =>
    expectBytes(workload, await file.readAt(buffers[task]!, next()));
  const warmUp = method === "worker" && file.direct ? { warmUpMs: POOL_GROWS_MS } : {};
  contenders.tasks.push(
    { name: name("readAt"), ...verdict, ...warmUp, run: (until) => runTasks(TASKS, until, read) },
    { name: name(`core, batches of ${TASKS}`), run: makeBatches(opened, buffers) },
  );
  contenders.oneTask.push({
    name: name("readAt"),
    ...verdict,
    run: (until) => runTasks(1, until, read),
  });
  const readSync = (): void => expectBytes(workload, file.readAtSync(buffers[0]!, next()));
  contenders.blocking.push({
    name: name("readAtSync"),
    ...verdict,
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
