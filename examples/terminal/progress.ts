/**
 * progress.ts: a progress bar on standard error, for programs that find a terminal there. The
 * package that draws it is loaded only then. While the bar stands, whatever else goes to standard
 * error goes through `print()`.
 *
 * @module
 */

import { writeText } from "./output.ts";

/** Shows how far the work has come. */
export interface Progress {
  /** Some more bytes are done. */
  advance(bytes: number): void;
  /** Writes lines to standard error, above the bar. */
  print(text: string): void;
  /** Takes the bar away. May be called again. */
  stop(): void;
}

/** What is used of the package. */
interface CliProgress {
  SingleBar: new (options: Record<string, unknown>) => SingleBar;
}
interface SingleBar {
  start(total: number, value: number, payload: BarTexts): void;
  update(value: number, payload: BarTexts): void;
  stop(): void;
}
interface BarTexts {
  done: string;
  all: string;
  rate: string;
  left: string;
}

/** Kept out of the import statement: as a literal there it would be fetched at every start. */
const PACKAGE = "npm:cli-progress@3.12.0";
const FORMAT = "[{bar}] {percentage}% | {done} of {all} | {rate} | {left} left";
const BAR_COLUMNS = 20;
const REDRAW_INTERVAL_MS = 100;
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** Shows nothing. */
export const NO_PROGRESS: Progress = {
  advance() {},
  print: (text) => writeText(Deno.stderr, text),
  stop() {},
};

/**
 * Starts a bar.
 *
 * @param program Names it, for the note.
 * @param totalBytes The bytes there are to do.
 * @returns The bar; without the package a note is printed instead, and nothing is shown.
 */
export async function startProgress(program: string, totalBytes: number): Promise<Progress> {
  try {
    const { default: cliProgress } = await import(PACKAGE) as { default: CliProgress };
    return new ProgressBar(cliProgress, totalBytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    NO_PROGRESS.print(`${program}: warning: no progress is shown: ${reason}\n`);
    return NO_PROGRESS;
  }
}

class ProgressBar implements Progress {
  readonly #bar: SingleBar;
  readonly #totalBytes: number;
  readonly #startedAt = performance.now();
  #bytes = 0;
  #updatedAt = this.#startedAt;

  constructor(cliProgress: CliProgress, totalBytes: number) {
    this.#totalBytes = totalBytes;
    this.#bar = new cliProgress.SingleBar({
      format: FORMAT,
      barsize: BAR_COLUMNS,
      clearOnComplete: true,
      emptyOnZero: true,
      hideCursor: true,
    });
    this.#show();
  }

  advance(bytes: number): void {
    this.#bytes += bytes;
    const now = performance.now();
    if (now - this.#updatedAt < REDRAW_INTERVAL_MS) return;
    this.#updatedAt = now;
    this.#bar.update(this.#bytes, this.#texts());
  }

  print(text: string): void {
    this.#bar.stop();
    NO_PROGRESS.print(text);
    this.#show();
  }

  stop(): void {
    this.#bar.stop();
  }

  #show(): void {
    this.#bar.start(this.#totalBytes, this.#bytes, this.#texts());
  }

  #texts(): BarTexts {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const rate = this.#bytes / Math.max(seconds, 1e-3);
    const left = Math.max(this.#totalBytes - this.#bytes, 0) / rate;
    return {
      done: formatBytes(this.#bytes),
      all: formatBytes(this.#totalBytes),
      rate: `${formatBytes(rate)}/s`,
      left: this.#bytes === 0 ? "-:--" : formatDuration(left),
    };
  }
}

function formatBytes(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  for (; amount >= 1024 && unit < UNITS.length - 1; unit++) amount /= 1024;
  return `${amount.toFixed(unit === 0 ? 0 : 1)} ${UNITS[unit]}`;
}

function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const [hours, ...rest] = parts.map((part) => String(part).padStart(2, "0"));
  return (hours === "00" ? rest : [hours, ...rest]).join(":");
}
