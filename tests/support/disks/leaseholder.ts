/**
 * leaseholder.ts: another process that holds a lease on a file (`fcntl(F_SETLEASE)`), as file
 * servers do: whoever opens the file has the kernel ask the holder to let go.
 *
 * @module
 */

import { LIBC_CANDIDATES } from "../../../ffi/libc_paths.ts";
import { LineProcess } from "../line_process.ts";

const PROGRAM = `
const [path, mode, ...candidates] = Deno.args;
const F_SETLEASE = 1024, F_WRLCK = 1, F_UNLCK = 2, O_RDWR = 2;
const symbols = {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
};
let library = null;
for (const candidate of candidates) {
  try { library ??= Deno.dlopen(candidate, symbols); } catch { /* The next spelling. */ }
}
const say = (line) => Deno.stdout.writeSync(new TextEncoder().encode(line + "\\n"));
const fd = library.symbols.open(new TextEncoder().encode(path + "\\0"), O_RDWR);
const letGo = () => library.symbols.fcntl(fd, F_SETLEASE, F_UNLCK);
Deno.addSignalListener("SIGIO", () => {
  say("asked");
  if (mode === "at once") letGo();
});
say(library.symbols.fcntl(fd, F_SETLEASE, F_WRLCK) === 0 ? "held" : "refused");
for await (const _ of Deno.stdin.readable) {
  letGo();
  say("let go");
}`;

/** The other process, until the end of its scope. */
export class Leaseholder implements AsyncDisposable {
  readonly #process: LineProcess;

  private constructor(path: string, mode: string) {
    const candidates = LIBC_CANDIDATES[`linux-${Deno.build.arch}`] ?? [];
    this.#process = new LineProcess(PROGRAM, [path, mode, ...candidates]);
  }

  /**
   * Starts it, and waits until it holds the lease.
   *
   * @param path no other process may have it open
   * @param mode when it lets go, once the kernel asks for that
   */
  static async start(path: string, mode: "at once" | "when told"): Promise<Leaseholder> {
    const holder = new Leaseholder(path, mode);
    const line = await holder.nextLine();
    if (line === "held") return holder;
    await holder[Symbol.asyncDispose]();
    throw new Error(`The lease was ${line}`);
  }

  /** What it says next: "asked" when the kernel asks it to let go. */
  nextLine(): Promise<string> {
    return this.#process.nextLine();
  }

  /** Has it let go. */
  letGo(): Promise<void> {
    return this.#process.say("let go");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#process[Symbol.asyncDispose]();
  }
}

/**
 * Whether a lease can be taken here: on Linux, on a file of one's own, if the file system has them.
 */
export function leasesAvailable(): boolean {
  return Deno.build.os === "linux";
}
