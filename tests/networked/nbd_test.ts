/**
 * nbd_test.ts: a log on a disk over NBD. In mid-load the server dies and loses what was not
 * flushed, or fails all writes: what the log has acknowledged is there. It needs root, and Debian's
 * nbdkit, libnbd-bin and fuse3; `deno task test:networked` runs it.
 */

import { assertGreaterOrEqual, assertRejects } from "@std/assert";
import type { IoMethodName } from "../../methods/mod.ts";
import type { Log } from "../../mod.ts";
import { openAio, testEachMethod } from "../support/methods.ts";
import { Machine } from "../support/networked/machine.ts";
import { nbdAvailable, NbdDisk } from "../support/networked/nbd_disk.ts";
import {
  ARENA_BYTES,
  LOAD_LOG,
  type LoadPlan,
  runRemoteLoad,
  type Told,
} from "../support/networked/remote_load.ts";

const APPENDS = 10;
const seen = { acknowledged: 0, faults: 0 };

/** Uses a new disk, mounted, in a machine of its own. */
async function withDisk(use: (disk: NbdDisk) => Promise<void>): Promise<void> {
  await using machine = await Machine.make();
  const disk = await NbdDisk.make(machine);
  await disk.mount();
  await use(disk);
  await disk.unmount();
}

/** A load on a disk that fails in the middle; then the disk is mounted again from its image. */
async function failAmongLoad(
  disk: NbdDisk,
  plan: Omit<LoadPlan, "directory" | "fault" | "goesOn">,
  fault: () => Promise<void> = () => disk.killServer(),
): Promise<Told> {
  const told = await runRemoteLoad({ ...plan, directory: disk.join("log"), fault, goesOn: false });
  await disk.unmount();
  await disk.fail(false);
  await disk.mount();
  return told;
}

function checkAfter(
  method: IoMethodName,
  direct: boolean,
  faultOf: (disk: NbdDisk) => () => Promise<void>,
): Promise<void> {
  return withDisk(async (disk) => {
    const told = await failAmongLoad(disk, { method, options: { direct } }, faultOf(disk));
    await told.check(method, disk.join("log"));
    seen.acknowledged += told.count;
    seen.faults++;
  });
}

for (const direct of [false, true]) {
  const way = direct ? ", direct" : "";
  testEachMethod(
    `a log loses nothing that it acknowledged when the server of its disk dies${way}`,
    (method) => checkAfter(method, direct, (disk) => () => disk.killServer()),
    nbdAvailable,
  );
  testEachMethod(
    `a log loses nothing that it acknowledged when its disk fails writes${way}`,
    (method) => checkAfter(method, direct, (disk) => () => disk.fail(true)),
    nbdAvailable,
  );
}

/** Opens a log on a disk, new if it is not there. */
async function withLog(
  disk: NbdDisk,
  method: IoMethodName,
  use: (log: Log) => Promise<void>,
): Promise<void> {
  await using aio = await openAio(method, { arenaBytes: ARENA_BYTES });
  await using log = await aio.openLog(disk.join("log"), LOAD_LOG);
  await use(log);
}

testEachMethod(
  "a log's flushes reach the server of its disk",
  (method) =>
    withDisk((disk) =>
      withLog(disk, method, async (log) => {
        await log.append(new Uint8Array(8));
        const before = await disk.flushes();
        for (let i = 0; i < APPENDS; i++) await log.append(new Uint8Array(8));
        assertGreaterOrEqual(await disk.flushes() - before, APPENDS);
      })
    ),
  nbdAvailable,
);

Deno.test({
  name: "nbd canary: records that are acknowledged before their flush are lost with the server",
  ignore: !nbdAvailable,
  fn: () =>
    withDisk(async (disk) => {
      const told = await failAmongLoad(disk, { method: "sync", isHasty: true });
      await assertRejects(() => told.check("sync", disk.join("log")), Error, "Lost");
    }),
});

Deno.test({
  name: "nbd canary: records are lost with a server that does not flush",
  ignore: !nbdAvailable,
  fn: () =>
    withDisk(async (disk) => {
      // So that there is a log to lose them from.
      await withLog(disk, "sync", async () => {});
      await disk.unmount();
      await disk.mount("unsafe");
      const told = await failAmongLoad(disk, { method: "sync" });
      await assertRejects(() => told.check("sync", disk.join("log")), Error, "Lost");
    }),
});

if (nbdAvailable) {
  Deno.test.afterAll(() => {
    const { acknowledged, faults } = seen;
    console.log(`NBD: ${faults} faults, ${acknowledged} acknowledged records found`);
  });
}
