/**
 * gluster_test.ts: a log on GlusterFS with three replicas, one or two of which are killed in
 * mid-load: what the log has acknowledged is there, and each brick that lives has all of it. It
 * needs root, and Debian's glusterfs-server and xfsprogs; `deno task test:networked` runs it.
 */

import { assertEquals, assertRejects } from "@std/assert";
import { testEachMethod } from "../support/methods.ts";
import { BRICKS, glusterAvailable, GlusterVolume } from "../support/networked/gluster.ts";
import { Machine } from "../support/networked/machine.ts";
import { type LoadPlan, runRemoteLoad, type Told } from "../support/networked/remote_load.ts";
import { tempDir } from "../support/temp.ts";

const seen = { acknowledged: 0, kills: 0 };

function noteFound({ count }: Told, kills: number): void {
  seen.acknowledged += count;
  seen.kills += kills;
}

/** What one brick alone holds: a copy of its files is opened as a log. */
async function checkBrick(told: Told, folder: string): Promise<string[]> {
  await using dir = await tempDir();
  for (const { name } of Deno.readDirSync(`${folder}/log`)) {
    await Deno.copyFile(`${folder}/log/${name}`, dir.join(name));
  }
  return await told.check("sync", dir.path);
}

/** A load on a volume during which bricks are killed. */
async function killAmongLoad(
  volume: GlusterVolume,
  killed: readonly string[],
  plan: Omit<LoadPlan, "directory" | "fault">,
): Promise<Told> {
  const fault = async () => void await Promise.all(killed.map((brick) => volume.kill(brick)));
  const directory = `${await volume.mount("first")}/log`;
  const told = await runRemoteLoad({ ...plan, directory, fault });
  await volume.unmount("first");
  return told;
}

/** Starts bricks again, and looks at what each holds in the end. */
async function checkHealed(volume: GlusterVolume, told: Told, records: string[]): Promise<void> {
  await volume.heal();
  for (const brick of BRICKS) assertEquals(await checkBrick(told, volume.brick(brick)), records);
}

for (const [direct, way] of [[false, ""], [true, ", direct"]] as const) {
  testEachMethod(
    `a log loses nothing that it acknowledged when a brick of three is killed${way}`,
    async (method) => {
      await using machine = await Machine.make();
      const volume = await GlusterVolume.make(machine);
      const killed = BRICKS[seen.kills % BRICKS.length]!;
      const plan = { method, options: { direct }, goesOn: true };
      const told = await killAmongLoad(volume, [killed], plan);
      // It is not this one that has kept them.
      await assertRejects(() => checkBrick(told, volume.brick(killed)), Error, "Lost");
      const left = BRICKS.filter((brick) => brick !== killed);
      const alone = await Promise.all(left.map((brick) => checkBrick(told, volume.brick(brick))));
      const records = await told.check(method, `${await volume.mount("second")}/log`);
      for (const found of alone) assertEquals(found, records);
      await checkHealed(volume, told, records);
      await volume.unmount("second");
      noteFound(told, 1);
    },
    glusterAvailable,
  );
}

testEachMethod(
  "a log refuses what comes when two bricks of three are killed, and loses nothing before",
  async (method) => {
    await using machine = await Machine.make();
    const volume = await GlusterVolume.make(machine);
    const told = await killAmongLoad(volume, BRICKS.slice(1), { method, goesOn: false });
    await volume.startBricks();
    const records = await told.check(method, `${await volume.mount("second")}/log`);
    await checkHealed(volume, told, records);
    await volume.unmount("second");
    noteFound(told, 2);
  },
  glusterAvailable,
);

if (glusterAvailable) {
  Deno.test.afterAll(() => {
    const { acknowledged, kills } = seen;
    console.log(`GlusterFS: ${kills} bricks killed, ${acknowledged} acknowledged records found`);
  });
}
