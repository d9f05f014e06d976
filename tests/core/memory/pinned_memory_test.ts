/**
 * pinned_memory_test.ts: memory that a Worker adopted outlives the Worker, as IO may still touch
 * it; `close()` lets it go. One program shows all that, one part after the other, in a process that
 * looks at its own memory map.
 */

import { assertEquals } from "@std/assert";
import { LIBRARY_URL, runProgram } from "../../support/program.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const INSIDE_URL = import.meta.resolve("../../../core/inside.ts");
const HELD_METHOD_URL = import.meta.resolve("../../support/held_method.ts");
const PATIENCE_URL = import.meta.resolve("../../support/patience.ts");
const IS_LINUX = Deno.build.os === "linux";
const FLAGS = ["-A", "--v8-flags=--expose-gc"];
/** So much that the C library maps it on its own, and unmaps it when it is freed. */
const MEMORY_BYTES = 64 * 1024 * 1024;
const READ_BYTES = 100_000;
const FILE_SEED = 99;

/** Makes memory, then adopts it, reads into it or ends, as a message says. */
const WORKER = `
  import { Aio } from ${JSON.stringify(LIBRARY_URL)};
  import { backendOf } from ${JSON.stringify(INSIDE_URL)};
  import { HeldMethod } from ${JSON.stringify(HELD_METHOD_URL)};
  let aio, kept;
  async function begin({ token, file, doesAdopt, doesRead, isStaged }) {
    aio = await Aio.attach(token, {}, [new HeldMethod()]);
    const memory = new SharedArrayBuffer(${MEMORY_BYTES});
    const view = new Uint8Array(memory, 4096, ${READ_BYTES}).fill(7);
    const address = backendOf(aio).libc.addressOf(view);
    if (doesAdopt) aio.adoptMemory(memory);
    else kept = memory; // Until the end, and not to the next collection.
    if (!doesRead) return { address };
    if (isStaged) aio.enterBatchmode();
    const handle = aio.acquire();
    const ref = handle.waitRef();
    handle.setIovec(view);
    aio.attachFile(file).startReadv(handle, 0);
    return { address, ref };
  }
  self.onmessage = async ({ data }) => {
    if (data === "gc") self.postMessage(gc());
    else if (data === "self.close") self.close();
    else if (data === "close") self.postMessage(await aio.close());
    else self.postMessage(await begin(data));
  };`;

/** What the parts of the program have in common. */
const COMMON = `
  import { backendOf } from ${JSON.stringify(INSIDE_URL)};
  import { HeldMethod } from ${JSON.stringify(HELD_METHOD_URL)};
  import { untilDead } from ${JSON.stringify(PATIENCE_URL)};
  const workerUrl = ${JSON.stringify(`data:application/javascript,${encodeURIComponent(WORKER)}`)};
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const isMapped = (address) =>
    Deno.readTextFileSync("/proc/self/maps").split("\\n").some((line) => {
      const [, from, to] = line.match(/^([0-9a-f]+)-([0-9a-f]+)/) ?? [];
      return parseInt(from, 16) <= address && address + ${READ_BYTES} <= parseInt(to, 16);
    });
  const bytesAt = (address) => {
    using memory = Deno.openSync("/proc/self/mem");
    memory.seekSync(address, Deno.SeekMode.Start);
    const bytes = new Uint8Array(${READ_BYTES});
    memory.readSync(bytes);
    return bytes;
  };
  const ask = (worker, message) =>
    new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.postMessage(message);
    });
  const collect = async (worker) => {
    gc();
    if (worker !== null) await ask(worker, "gc");
    await sleep(5);
  };
  /** Whether it is there after some collections; what is let go goes with the first. */
  const isKept = async (address, worker = null) => {
    for (let round = 0; round < 5; round++) await collect(worker);
    return isMapped(address);
  };
  /** Whether it goes, sooner or later. */
  const isLetGo = async (address, worker = null) => {
    for (let round = 0; round < 500 && isMapped(address); round++) await collect(worker);
    return !isMapped(address);
  };
  const end = async (aio, worker, ending) => {
    const { threadId } = aio.backends()[1];
    if (ending === "terminate") worker.terminate();
    else worker.postMessage(ending);
    await untilDead(backendOf(aio).libc, threadId);
  };
  const open = async (path) => {
    const aio = await Aio.open({ method: "held", arenaBytes: 4096 }, [new HeldMethod()]);
    return { aio, file: await aio.openFile(path) };
  };
  const start = async ({ aio, file }, how) => {
    const worker = new Worker(workerUrl, { type: "module" });
    return { worker, ...await ask(worker, { token: aio.token, file: file.token, ...how }) };
  };`;

/** A Worker ends with an IO into its memory in flight; the main thread has it performed. */
const OUTLIVES = `
  const outlives = async (ending, state) => {
    const opened = await open(path);
    const { aio, file } = opened;
    const { worker, address, ref } = await start(opened, {
      doesAdopt: true,
      doesRead: true,
      isStaged: state === "staged",
    });
    await end(aio, worker, ending);
    const wasMapped = await isKept(address);
    const before = bytesAt(address).every((byte) => byte === 7);
    aio.waitSync(ref);
    const row = aio.ios().find(({ ioId }) => ioId === ref.index);
    const after = [...bytesAt(address)];
    const expected = [...Deno.readFileSync(path)];
    await file.close();
    await aio.close();
    return {
      wasMapped,
      before,
      isRead: after.every((byte, i) => byte === expected[i]),
      row: row === undefined ? null : [row.state, row.result, row.rawResult],
    };
  };`;

/** A Worker ends that has adopted its memory, or has not. */
const ENDS = `
  const ends = async (doesAdopt) => {
    const opened = await open(path);
    const { worker, address } = await start(opened, { doesAdopt });
    const wasMapped = isMapped(address);
    await end(opened.aio, worker, "terminate");
    const isMappedStill = doesAdopt ? await isKept(address) : !(await isLetGo(address));
    await opened.file.close();
    await opened.aio.close();
    return { wasMapped, isMappedStill };
  };`;

/** A Worker that lives on closes its Aio, then the main thread does. */
const CLOSES = `
  const closes = async () => {
    const opened = await open(path);
    const { worker, address } = await start(opened, { doesAdopt: true });
    const isTheirsKept = await isKept(address, worker);
    await ask(worker, "close");
    const isTheirsLetGo = await isLetGo(address, worker);
    const ownAddress = (() => {
      const memory = new SharedArrayBuffer(${MEMORY_BYTES});
      opened.aio.adoptMemory(memory);
      return backendOf(opened.aio).libc.addressOf(new Uint8Array(memory, 4096));
    })();
    const isOwnKept = await isKept(ownAddress);
    await opened.file.close();
    await opened.aio.close();
    const isOwnLetGo = await isLetGo(ownAddress);
    worker.terminate();
    return { isTheirsKept, isTheirsLetGo, isOwnKept, isOwnLetGo };
  };`;

/** By the name of its test: how a part of the program is called, and what it must find. */
const PARTS: Record<string, { readonly call: string; readonly found: unknown }> = {};

for (const ending of ["terminate", "self.close"]) {
  for (const state of ["staged", "submitted"]) {
    PARTS[`held: a ${state} read into adopted memory outlives ${ending}`] = {
      call: `outlives("${ending}", "${state}")`,
      found: {
        wasMapped: true,
        before: true,
        isRead: true,
        // A reaper ended the staged one, with everything else of the dead thread.
        row: state === "submitted" ? ["COMPLETED_SHARED", "OK", READ_BYTES] : null,
      },
    };
  }
}
PARTS["held: adopted memory stays mapped after terminate()"] = {
  call: "ends(true)",
  found: { wasMapped: true, isMappedStill: true },
};
PARTS["held canary: memory that nobody adopted is unmapped after terminate()"] = {
  call: "ends(false)",
  found: { wasMapped: true, isMappedStill: false },
};
PARTS["held: adopted memory is let go by close() in a thread that lives on"] = {
  call: "closes()",
  found: { isTheirsKept: true, isTheirsLetGo: true, isOwnKept: true, isOwnLetGo: true },
};

/** Runs all parts. @returns what each found */
async function run(): Promise<Record<string, unknown>> {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("data"), READ_BYTES, FILE_SEED);
  const calls = Object.entries(PARTS).map(([name, { call }]) =>
    `found[${JSON.stringify(name)}] = await ${call};`
  );
  const program = `
    const [path] = Deno.args;
    ${[COMMON, OUTLIVES, ENDS, CLOSES].join("\n")}
    const found = {};
    ${calls.join("\n")}
    console.log(JSON.stringify(found));`;
  const args = [dir.join("data")];
  const options = { flags: FLAGS, args, timeLimitMs: 60_000 };
  const { code, stderr, stdout } = await runProgram(program, options);
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

let outcome: ReturnType<typeof run> | null = null;

for (const [name, { found }] of Object.entries(PARTS)) {
  Deno.test({
    name,
    ignore: !IS_LINUX,
    fn: async () => assertEquals((await (outcome ??= run()))[name], found),
  });
}
