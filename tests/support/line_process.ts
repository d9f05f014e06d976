/**
 * line_process.ts: another Deno process that a test talks with by lines: it says what happened, and
 * does what the test says, so that no test needs a clock.
 *
 * @module
 */

/** The other process, until the end of its scope. */
export class LineProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #rest = "";

  /**
   * Starts it.
   *
   * @param source a JavaScript module
   * @param args what it finds in `Deno.args`
   */
  constructor(source: string, args: readonly string[]) {
    const url = `data:text/javascript,${encodeURIComponent(source)}`;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", "--no-config", url, ...args],
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    // Read as it is wanted: a read under way between two tests would be a leak of both.
    this.#reader = this.#child.stdout.getReader();
    this.#writer = this.#child.stdin.getWriter();
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** What it says next; throws if it has ended. */
  async nextLine(): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return line;
      }
      const { value, done } = await this.#reader.read();
      if (done) throw new Error(`The process ended after ${JSON.stringify(this.#rest)}`);
      this.#rest += this.#decoder.decode(value, { stream: true });
    }
  }

  /** What it has said beside that, before its end; a line that it did not finish is none. */
  async restOfLines(): Promise<string[]> {
    for (let read; !(read = await this.#reader.read()).done;) {
      this.#rest += this.#decoder.decode(read.value, { stream: true });
    }
    return this.#rest.split("\n").slice(0, -1);
  }

  /** Says something to it. */
  async say(line: string): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(`${line}\n`));
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // It has ended by itself.
    }
    await this.#child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#writer.close().catch(() => {});
    await this.#reader.cancel().catch(() => {});
  }
}

/**
 * Runs a program and kills it when it has said so much.
 *
 * @param source a JavaScript module
 * @param args what it finds in `Deno.args`
 * @param least so many lines
 * @returns all lines that it said before its end
 */
export async function runAndKill(
  source: string,
  args: readonly string[],
  least: number,
): Promise<string[]> {
  await using child = new LineProcess(source, args);
  const lines: string[] = [];
  while (lines.length < least) lines.push(await child.nextLine());
  await child.kill();
  return [...lines, ...await child.restOfLines()];
}
