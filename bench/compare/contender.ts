/**
 * contender.ts: whoever is measured in compare.ts: a child process that stays, so that its code is
 * compiled and its cache warm when it counts, or a run of fio.
 *
 * @module
 */

import { type FioJob, type FioResult, runFioWhole } from "../fio.ts";
import type { OursOrder } from "./ours.ts";

/** What one run came to. */
export interface RunResult extends FioResult {
  /** The share of an interval's ticks that came, where they were counted. */
  readonly ticksKept?: number;
}

/** One of those that are compared. */
export interface Contender extends AsyncDisposable {
  readonly name: string;
  /** Runs for so long. */
  run(seconds: number): Promise<RunResult>;
}

/** A program that makes a run for each line it is sent. */
export class ChildContender implements Contender {
  readonly name: string;
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(name: string, command: string, args: readonly string[]) {
    this.name = name;
    this.#child = new Deno.Command(command, {
      args: [...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async run(seconds: number): Promise<RunResult> {
    await this.#writer.write(new TextEncoder().encode(`${seconds}\n`));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error(`${this.name} ended without a result`);
      this.#rest += value;
    }
    const [line, ...rest] = this.#rest.split("\n");
    this.#rest = rest.join("\n");
    return JSON.parse(line!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close();
    await this.#lines.cancel();
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

/** A program of this folder, run by this Deno. */
export function denoContender(name: string, program: string, args: readonly string[]): Contender {
  const path = new URL(program, import.meta.url).pathname;
  return new ChildContender(name, Deno.execPath(), ["run", "-A", "--no-lock", path, ...args]);
}

/** This library. */
export function ours(name: string, order: OursOrder): Contender {
  return denoContender(name, "./ours.ts", [JSON.stringify(order)]);
}

/** fio, which is started anew for each run. */
export function fio(name: string, job: Omit<FioJob, "seconds">): Contender {
  return {
    name,
    run: (seconds) => runFioWhole({ ...job, seconds }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
