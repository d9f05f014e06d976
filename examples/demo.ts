/**
 * Reads a file at random and in sequence, with this module and with what Deno has, and prints what
 * each way costs, in one table.
 *
 * ```sh
 * deno task demo            # a temporary file
 * deno task demo data.bin   # a file of yours, which is only read
 * ```
 *
 * In `demo/`: `options.ts` is the command line, `sample_file.ts` the file; `groups.ts` says what is
 * compared with what, `deno_contenders.ts` and `aio_contenders.ts` who takes part; `measure.ts` is
 * how, `table.ts` and `progress.ts` what the user sees. This file ties them together.
 *
 * @module
 */

import { basename } from "node:path";
import type { Group } from "./demo/contender.ts";
import { CacheWarmer, type Figures, measure } from "./demo/measure.ts";
import { type DemoOptions, HELP, parseCommand, UsageError } from "./demo/options.ts";
import { openProgramme } from "./demo/groups.ts";
import { Progress } from "./demo/progress.ts";
import { SampleFile } from "./demo/sample_file.ts";
import { formatNumber, formatTable, type MeasuredGroup, wrap } from "./demo/table.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** What a signal's number is added to. */
const EXIT_SIGNAL = 128;
const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

const MIB = 1024 * 1024;
const NAME_LENGTH_MAX = 18;

const progress = new Progress();

/** Removes the temporary file when the user or the system ends the demo. */
function removeOnSignal(sample: SampleFile): Disposable {
  const handlers = Object.entries(SIGNALS).map(([name, number]) => {
    const signal = name as keyof typeof SIGNALS;
    const handler = (): void => {
      progress.clear();
      sample[Symbol.dispose]();
      Deno.exit(EXIT_SIGNAL + number);
    };
    Deno.addSignalListener(signal, handler);
    return { signal, handler };
  });
  return {
    [Symbol.dispose]() {
      for (const { signal, handler } of handlers) Deno.removeSignalListener(signal, handler);
    },
  };
}

async function measureAll(
  groups: readonly Group[],
  warmer: CacheWarmer,
  runMs: number,
): Promise<MeasuredGroup[]> {
  const measured: MeasuredGroup[] = [];
  for (const [i, group] of groups.entries()) {
    const stage = `${i + 1}/${groups.length} ${group.title}`;
    const figures: Figures[] = [];
    for (const contender of group.contenders) {
      progress.show(stage, contender.name);
      await warmer.warm();
      figures.push(await measure(contender, runMs));
    }
    measured.push({ group, figures });
  }
  progress.clear();
  return measured;
}

/** What stands above the table, for somebody who knows nothing yet. */
function explain(sample: SampleFile): string {
  const name = basename(sample.path);
  const shortName = name.length > NAME_LENGTH_MAX ? `${name.slice(0, NAME_LENGTH_MAX)}…` : name;
  const what = sample.isTemporary ? "a temporary file" : `"${shortName}"`;
  const size = `${formatNumber(sample.windowBytes / MIB, 0)} MiB`;
  return `Reads of ${what}, ${size}. Lines with "aio" are this module, with the method named.
All come from the page cache, or "direct" from the disk. "vs Deno": IOPS over the block's 1st line.
`;
}

/** What stands below it, for somebody who wants to know how far to trust it. */
function closingNotes(notes: readonly string[], runMs: number): string {
  const run = `${formatNumber(runMs / 1e3, 2)} s`;
  const machine = `Deno ${Deno.version.deno}, ${Deno.build.os} ${Deno.osRelease()}, ` +
    `${Deno.build.arch}, ${navigator.hardwareConcurrency} cores.`;
  return [
    `Each line is one short run, of ${run}. The next may differ: awaited ones even by a factor of 2.`,
    "µs/read is time over reads, CPU all threads; aio reads into its own memory, aio.alloc().",
    ...notes,
    machine,
  ].map(wrap).join("\n");
}

async function compare(sample: SampleFile, seconds: number): Promise<void> {
  await using resources = new AsyncDisposableStack();
  if (sample.isTemporary) {
    progress.show(`Making a temporary file of ${formatNumber(sample.windowBytes / MIB, 0)} MiB`);
    await sample.fill();
  }
  const { groups, notes } = await openProgramme(sample.path, sample.windowBytes, resources);
  if (sample.isInMemory) {
    notes.push("The file is in a tmpfs: here direct reads come from memory too.");
  }
  const runMs = seconds * 1e3 / groups.flatMap(({ contenders }) => contenders).length;
  const warmer = new CacheWarmer(sample.path, sample.windowBytes);
  const measured = await measureAll(groups, warmer, runMs);
  const isStyled = Deno.stdout.isTerminal() && !Deno.noColor;
  const bold = (text: string): string => isStyled ? `\x1b[1m${text}\x1b[22m` : text;
  console.log(explain(sample));
  console.log(formatTable(measured, bold));
  console.log(`\n${closingNotes(notes, runMs)}`);
}

async function main({ path, seconds, help }: DemoOptions): Promise<void> {
  if (help) return console.log(HELP.trimEnd());
  using sample = path === undefined ? SampleFile.temporary() : await SampleFile.given(path);
  using _signals = removeOnSignal(sample);
  await compare(sample, seconds);
}

try {
  await main(parseCommand(Deno.args));
} catch (error) {
  progress.clear();
  console.error(error instanceof Error ? error.message : String(error));
  Deno.exitCode = error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED;
}
