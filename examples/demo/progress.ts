/**
 * progress.ts: says on standard error how far the demo is: on a terminal in one line that it writes
 * again and again, else in a few lines.
 *
 * @module
 */

const encoder = new TextEncoder();
const ERASE_LINE = "\r\x1b[2K";
const COLUMNS_DEFAULT = 80;

function columns(): number {
  try {
    return Deno.consoleSize().columns;
  } catch {
    return COLUMNS_DEFAULT; // Not told, such as where standard output is no terminal.
  }
}

/** The progress line. */
export class Progress {
  readonly #isTerminal = Deno.stderr.isTerminal();
  #stage = "";

  /**
   * Says what is being done.
   *
   * @param stage what; without a terminal a line is written when it changes
   * @param detail what of it; told on a terminal only
   */
  show(stage: string, detail = ""): void {
    const text = detail === "" ? stage : `${stage}: ${detail}`;
    if (this.#isTerminal) write(ERASE_LINE + text.slice(0, columns() - 1));
    else if (stage !== this.#stage) write(`${stage}\n`);
    this.#stage = stage;
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#isTerminal && this.#stage !== "") write(ERASE_LINE);
    this.#stage = "";
  }
}

function write(text: string): void {
  Deno.stderr.writeSync(encoder.encode(text));
}
