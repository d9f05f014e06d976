/**
 * fuse_server.ts: a file system in another process, that holds up any operation until a test lets
 * it go, or fails it: what slow, hung and broken network file systems do, without a clock.
 *
 * Every name in its folder is a file of 1 MiB, all bytes 7, that takes any write. Its inodes follow
 * one another above 2^60, where a number has no room for them. The server speaks the kernel's
 * protocol (`/dev/fuse`) itself, so only root and that device are needed.
 *
 * @module
 */

import { LIBC_CANDIDATES } from "../../../ffi/libc_paths.ts";
import { LineProcess } from "../line_process.ts";
import { shareAmongTests } from "../shared.ts";

/** Operations that can be held up or failed, by their numbers in the protocol. */
const OPERATIONS = {
  GETATTR: 3,
  SETATTR: 4,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  FSYNC: 20,
  FLUSH: 25,
} as const;

/** An operation of the file system. */
export type FuseOperation = keyof typeof OPERATIONS;

const PROGRAM = `
const [folder, ...candidates] = Deno.args;
const NAMES = new Map(Object.entries(${
  JSON.stringify(OPERATIONS)
}).map(([name, op]) => [op, name]));
const symbols = {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize", nonblocking: true },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  mount: { parameters: ["buffer", "buffer", "buffer", "u64", "buffer"], result: "i32" },
};
let library = null;
for (const candidate of candidates) {
  try { library ??= Deno.dlopen(candidate, symbols); } catch { /* The next spelling. */ }
}
const { open, read, write, mount } = library.symbols;
const text = (words) => new TextEncoder().encode(words + "\\0");
const say = (line) => Deno.stdout.writeSync(new TextEncoder().encode(line + "\\n"));
const O_RDWR = 2, ENOSYS = 38, SIZE = 1048576, ROOT = 1, ASYNC_DIO = 1 << 15;
const fuse = open(text("/dev/fuse"), O_RDWR);
const how = "fd=" + fuse + ",rootmode=40000,user_id=0,group_id=0,allow_other";
if (mount(text("aio_fuse"), text(folder), text("fuse"), 0n, text(how)) !== 0) {
  say("refused");
  Deno.exit(1);
}
say("ready");

const nodes = new Map(), held = new Map(), failing = new Map(), failingOnce = new Set();
const answer = (unique, error, body = new Uint8Array(0)) => {
  const reply = new Uint8Array(16 + body.length), view = new DataView(reply.buffer);
  view.setUint32(0, reply.length, true);
  view.setInt32(4, -error, true);
  view.setBigUint64(8, unique, true);
  reply.set(body, 16);
  write(fuse, reply, BigInt(reply.length));
};
const bytes = (length, fill) => {
  const body = new Uint8Array(length);
  fill(new DataView(body.buffer));
  return body;
};
const attributes = (view, at, node) => {
  view.setBigUint64(at, 2n ** 60n + BigInt(node), true);
  view.setBigUint64(at + 8, node === ROOT ? 0n : BigInt(SIZE), true);
  view.setUint32(at + 60, node === ROOT ? 0o40755 : 0o100666, true);
  view.setUint32(at + 64, 1, true);
  view.setUint32(at + 80, 4096, true);
};
const entry = (name) => {
  if (!nodes.has(name)) nodes.set(name, nodes.size + 2);
  return bytes(128, (view) => {
    view.setBigUint64(0, BigInt(nodes.get(name)), true);
    attributes(view, 40, nodes.get(name));
  });
};
const act = (request) => {
  const { unique, op, node, view, body } = request;
  const size = () => view.getUint32(56, true);
  switch (op) {
    case 1: return answer(unique, 0, entry(new TextDecoder().decode(body.subarray(0, -1))));
    case 3: case 4: return answer(unique, 0, bytes(104, (reply) => attributes(reply, 16, node)));
    case 14: return answer(unique, 0, new Uint8Array(16));
    case 15: return answer(unique, 0, new Uint8Array(size()).fill(7));
    case 16: return answer(unique, 0, bytes(8, (reply) => reply.setUint32(0, size(), true)));
    case 17: return answer(unique, 0, new Uint8Array(80));
    case 18: case 20: case 25: return answer(unique, 0);
    case 26: return answer(unique, 0, bytes(64, (reply) => {
      reply.setUint32(0, 7, true);
      reply.setUint32(4, 31, true);
      reply.setUint32(8, 131072, true);
      reply.setUint32(12, ASYNC_DIO, true);
      reply.setUint16(16, 64, true);
      reply.setUint16(18, 64, true);
      reply.setUint32(20, 131072, true);
      reply.setUint32(24, 1, true);
    }));
    case 2: case 36: case 42: return; // They expect no answer.
    default: return answer(unique, ENOSYS);
  }
};
const take = (request) => {
  const name = NAMES.get(request.op);
  const errno = failing.get(name);
  if (held.has(name)) {
    held.get(name).push(request);
    say("held " + name);
  } else if (errno !== undefined) {
    if (failingOnce.delete(name)) failing.delete(name);
    answer(request.unique, errno);
  } else act(request);
};
const serve = async () => {
  for (;;) {
    const buffer = new Uint8Array(262144);
    const length = Number(await read(fuse, buffer, BigInt(buffer.length)));
    if (length < 40) {
      if (length < 0) await new Promise((resolve) => setTimeout(resolve, 1));
      continue;
    }
    const view = new DataView(buffer.buffer);
    const op = view.getUint32(4, true);
    const node = Number(view.getBigUint64(16, true));
    take({ op, node, unique: view.getBigUint64(8, true), view, body: buffer.subarray(40, length) });
  }
};
void serve();

let rest = "";
for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  rest += chunk;
  for (let end = rest.indexOf("\\n"); end >= 0; end = rest.indexOf("\\n")) {
    const [order, name, errno] = rest.slice(0, end).split(" ");
    rest = rest.slice(end + 1);
    if (order === "hold") held.set(name, held.get(name) ?? []);
    if (order.startsWith("fail")) failing.set(name, Number(errno));
    if (order === "failOnce") failingOnce.add(name);
    if (order === "reset") {
      const requests = [...held.values()].flat();
      for (const state of [held, failing, failingOnce]) state.clear();
      requests.forEach(act);
    }
    if (order === "release") {
      const requests = held.get(name) ?? [];
      held.delete(name);
      for (const request of requests) {
        if (Number(errno) === 0) act(request);
        else answer(request.unique, Number(errno));
      }
    }
    say("done");
  }
}`;

/** The file system, until the end of its scope. */
export class FuseServer implements AsyncDisposable {
  /** Where it is mounted. */
  readonly folder: string;
  readonly #process: LineProcess;
  #heldLines: string[] = [];

  private constructor(folder: string) {
    this.folder = folder;
    const candidates = LIBC_CANDIDATES[`linux-${Deno.build.arch}`] ?? [];
    this.#process = new LineProcess(PROGRAM, [folder, ...candidates]);
  }

  /** Mounts it. */
  static async start(): Promise<FuseServer> {
    const server = new FuseServer(await Deno.makeTempDir({ prefix: "aio_fuse_" }));
    const line = await server.#process.nextLine();
    if (line === "ready") return server;
    await server[Symbol.asyncDispose]();
    throw new Error(`The mount was ${line}`);
  }

  /** The path of a file in it. */
  join(name: string): string {
    return `${this.folder}/${name}`;
  }

  async #order(line: string): Promise<void> {
    await this.#process.say(line);
    for (;;) {
      const reply = await this.#process.nextLine();
      if (reply === "done") return;
      this.#heldLines.push(reply);
    }
  }

  /** From now on holds up an operation. */
  hold(operation: FuseOperation): Promise<void> {
    return this.#order(`hold ${operation}`);
  }

  /** Resolves when an operation is held up. */
  async untilHeld(operation: FuseOperation): Promise<void> {
    const wanted = `held ${operation}`;
    const known = this.#heldLines.indexOf(wanted);
    if (known >= 0) {
      this.#heldLines.splice(known, 1);
      return;
    }
    for (;;) {
      const line = await this.#process.nextLine();
      if (line === wanted) return;
      this.#heldLines.push(line);
    }
  }

  /**
   * Lets all go that is held up of an operation, and holds it up no longer.
   *
   * @param errno 0: it succeeds
   */
  release(operation: FuseOperation, errno = 0): Promise<void> {
    return this.#order(`release ${operation} ${errno}`);
  }

  /** From now on fails an operation. */
  fail(operation: FuseOperation, errno: number): Promise<void> {
    return this.#order(`fail ${operation} ${errno}`);
  }

  /** Fails an operation the next time only, as the kernel reports lost write-back only once. */
  failOnce(operation: FuseOperation, errno: number): Promise<void> {
    return this.#order(`failOnce ${operation} ${errno}`);
  }

  /** Lets everything go, and neither holds up nor fails anything any longer. */
  async reset(): Promise<void> {
    await this.#order("reset");
    this.#heldLines = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Deno.Command("umount", { args: ["--lazy", this.folder], stderr: "null" }).output();
    await this.#process[Symbol.asyncDispose]();
    await Deno.remove(this.folder);
  }
}

/**
 * Shares one file system among the tests of a file (shared.ts).
 *
 * @returns gives it to one test, when it holds up and fails nothing
 */
export function shareFuse(): () => Promise<FuseServer> {
  const serverOf = shareAmongTests(FuseServer.start, fuseAvailable());
  return async () => {
    const server = serverOf();
    await server.reset();
    return server;
  };
}

/** Whether such a file system can be mounted here: root on Linux, with the device. */
export function fuseAvailable(): boolean {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  try {
    Deno.openSync("/dev/fuse", { read: true, write: true }).close();
    return true;
  } catch {
    return false;
  }
}
