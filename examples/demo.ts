/**
 * Reads a file at random and in sequence, with this module and with what Deno has, and prints how
 * fast each is, in a few lines; with `--all` also what each way costs, in a table.
 *
 * ```sh
 * deno task demo            # a temporary file
 * deno task demo data.bin   # a file of yours, which is only read
 * deno task demo --all      # every way, and the table
 * ```
 *
 * In `demo/`: `options.ts` is the command line, `sample_file.ts` the file; `groups.ts` says what is
 * compared with what; `deno_contenders.ts` and `aio_contenders.ts` have the contenders;
 * `measure.ts` is how, `verdict.ts`, `table.ts` and `progress.ts` what the user sees. This file
 * ties them together.
 *
 * @module
 */

import { basename } from "node:path";
import type { Group } from "./demo/contender.ts";
import { CacheWarmer, type Figures, measure } from "./demo/measure.ts";
import { type DemoOptions, HELP, parseCommand, UsageError } from "./demo/options.ts";
import { openProgramme, type Programme } from "./demo/groups.ts";
import { Progress } from "./demo/progress.ts";
import { SampleFile } from "./demo/sample_file.ts";
import { formatNumber, formatTable, type MeasuredGroup, wrap } from "./demo/table.ts";
import { formatVerdict } from "./demo/verdict.ts";

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

/** Reads past the page cache, with what stands above them; empty where there are none. */
function formatDirect(measured: readonly MeasuredGroup[]): string {
  const lines = formatVerdict(measured, true);
  if (lines === "") return "";
  return `\nPast the page cache, where Deno has nothing to compare with; this module by method:\n${lines}\n`;
}

/** What the figures mean, and how far to trust them. */
function formatNotes(sample: SampleFile, { method, notes }: Programme, runMs: number): string {
  const name = basename(sample.path);
  const shortName = name.length > NAME_LENGTH_MAX ? `${name.slice(0, NAME_LENGTH_MAX)}…` : name;
  const what = sample.isTemporary ? "a temporary file" : `"${shortName}"`;
  const size = `${formatNumber(sample.windowBytes / MIB, 0)} MiB`;
  const run = `${formatNumber(runMs / 1e3, 2)} s`;
  const machine = `Deno ${Deno.version.deno}, ${Deno.build.os} ${Deno.osRelease()}, ` +
    `${Deno.build.arch}, ${navigator.hardwareConcurrency} cores.`;
  return [
    `Read: ${what}, ${size}, from the page cache unless said otherwise; 4 KiB at random, 128 KiB in sequence.`,
    `This module reads by ${method}, into its own memory. "times": its rate over that of Deno.FsFile.`,
    "Deno.FsFile has one position: where 32 read at a time, each opens the file for itself.",
    `Each figure is one short run, of ${run}. The next may differ: awaited ones even by a factor of 2.`,
    ...notes,
    machine,
  ].map(wrap).join("\n");
}

function formatAll(measured: readonly MeasuredGroup[]): string {
  const isStyled = Deno.stdout.isTerminal() && !Deno.noColor;
  const bold = (text: string): string => isStyled ? `\x1b[1m${text}\x1b[22m` : text;
  return `\n${formatTable(measured, bold)}\n
Lines with "aio" are this module, with the method named. "vs 1st": IOPS over the block's first line.
µs/read is time over reads, CPU that of all threads.`;
}

async function compare(sample: SampleFile, { seconds, all }: DemoOptions): Promise<void> {
  await using resources = new AsyncDisposableStack();
  if (sample.isTemporary) {
    progress.show(`Making a temporary file of ${formatNumber(sample.windowBytes / MIB, 0)} MiB`);
    await sample.fill();
  }
  const { path, windowBytes } = sample;
  const programme = await openProgramme(path, windowBytes, all, resources);
  if (sample.isInMemory) {
    programme.notes.push("The file is in a tmpfs: here direct reads come from memory too.");
  }
  const { groups } = programme;
  const runMs = seconds * 1e3 / groups.flatMap(({ contenders }) => contenders).length;
  const measured = await measureAll(groups, new CacheWarmer(path, windowBytes), runMs);
  console.log(formatVerdict(measured, false));
  console.log(formatDirect(measured));
  console.log(formatNotes(sample, programme, runMs));
  console.log(all ? formatAll(measured) : "deno task demo --all measures every way there is.");
}

async function main(options: DemoOptions): Promise<void> {
  const { path, help } = options;
  if (help) return console.log(HELP.trimEnd());
  using sample = path === undefined ? SampleFile.temporary() : await SampleFile.given(path);
  using _signals = removeOnSignal(sample);
  await compare(sample, options);
}

try {
  await main(parseCommand(Deno.args));
} catch (error) {
  progress.clear();
  console.error(error instanceof Error ? error.message : String(error));
  Deno.exitCode = error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED;
}
