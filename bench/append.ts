/**
 * append.ts: durable appends of 32 tasks, 256 bytes each, beside one `Deno.FsFile.write` and
 * `syncData` a record, and beside fio, which extends a file by the same batches and flushes after
 * each. Ours and the peers alternate, each in a process of its own.
 *
 * Run: deno task bench:append [--rounds N] [--seconds N] [--dir DIR]
 *
 * @module
 */

import { join } from "@std/path";
import { parseArgs } from "node:util";
import { Aio, type AioFile } from "../mod.ts";
import { CHILD, runChild } from "./child.ts";
import { hasFio } from "./fio.ts";
import { describeMachine } from "./machine.ts";
import { measure, type Outcome, RECORD_BYTES, runFioBatches, TASKS } from "./records.ts";
import { figures, ratios, ROUND_OPTIONS } from "./rounds.ts";

/** Whose appends are measured. */
type Order = "ours" | "Deno";

/** The child's part. */
async function beChild(order: Order, path: string, seconds: number): Promise<void> {
  const record = new Uint8Array(RECORD_BYTES).fill(0x2e);
  let outcome: Outcome;
  if (order === "Deno") {
    using file = await Deno.open(path, { write: true, create: true, truncate: true });
    const append = async () => {
      await file.write(record);
      await file.syncData();
    };
    outcome = await measure(append, 1, seconds);
  } else {
    await using aio = await Aio.open();
    await using file: AioFile = await aio.openFile(path, {
      write: true,
      create: true,
      truncate: true,
    });
    outcome = await measure(() => file.append(record, { durable: true }), TASKS, seconds);
  }
  console.log(JSON.stringify(outcome));
}

async function runOrder(order: Order, path: string, seconds: number): Promise<Outcome> {
  try {
    return await runChild<Outcome>(import.meta.filename!, order, path, `${seconds}`);
  } finally {
    await Deno.remove(path);
  }
}

async function runFio(path: string, seconds: number): Promise<Outcome> {
  try {
    return await runFioBatches(path, seconds, RECORD_BYTES * TASKS, 0);
  } finally {
    await Deno.remove(path);
  }
}

if (Deno.args[0] === CHILD) {
  const [, order, path, seconds] = Deno.args;
  await beChild(order as Order, path!, Number(seconds));
} else {
  const { values } = parseArgs({ options: ROUND_OPTIONS });
  const rounds = Number(values.rounds);
  const seconds = Number(values.seconds);
  const path = join(values.dir, "bench_append.log");
  const peers: Readonly<Record<string, () => Promise<Outcome>>> = {
    ours: () => runOrder("ours", path, seconds),
    Deno: () => runOrder("Deno", path, seconds),
    ...(await hasFio() ? { fio: () => runFio(path, seconds) } : {}),
  };
  const outcomes = new Map<string, Outcome[]>(Object.keys(peers).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(peers)) outcomes.get(name)!.push(await run());
  }
  const rates = (name: string) => outcomes.get(name)!.map(({ perSecond }) => perSecond);
  console.log(await describeMachine(values.dir));
  console.table(Object.fromEntries([...outcomes].map(([name, all]) => {
    const { median, min, max } = figures(rates(name));
    const { median: cpu } = figures(all.map(({ cpuMicros }) => cpuMicros));
    return [name, {
      "records/s": Math.round(median),
      from: Math.round(min),
      to: Math.round(max),
      "CPU µs/record": cpu.toFixed(1),
      "ours / it": ratios(rates("ours"), rates(name)).median.toFixed(2),
    }];
  })));
}
