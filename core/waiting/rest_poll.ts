/**
 * rest_poll.ts: the descriptor in which the event loop of this thread rests, so that a thread that
 * dozes hears what it would hear at rest: sockets, signals, what other threads have for it.
 *
 * Deno's runtime rests in `epoll_wait`, and tells nobody on which descriptor. The kernel does: the
 * file `/proc/self/task/TID/syscall` has the call that a thread is in, and its arguments. While
 * this thread rests, a thread of Deno's pool reads that file: when a backend is opened, where this
 * thread has nothing else to do, and if it came a moment too soon each time, at the next sleeps of
 * the pump. Where the kernel does not tell, the descriptor stays unknown.
 *
 * @module
 */

import { IOVEC_SIZE_BYTES } from "../../ffi/layout.ts";
import type { Libc } from "../../ffi/libc.ts";
import { BACKEND, type Control, REST_TEXT_BYTES } from "../memory/shared_memory.ts";
import { writeIovec } from "../io/operation.ts";

/** Numbers of `epoll_wait` and its variants (`<asm/unistd.h>`). */
const CALLS: Readonly<Record<string, ReadonlySet<string>>> = {
  x86_64: new Set(["232", "281", "441"]),
  aarch64: new Set(["22", "441"]),
};
/** So many numbers in a row that are no descriptors are taken for the end of them. */
const GAP_MAX = 256;
const ATTEMPTS_AT_ONCE = 16;
const ATTEMPTS_MAX = 64;

/**
 * Reads a line of the kernel's, such as `232 0x3 0x555bfc5b9b40 0x400`.
 *
 * @returns the descriptor; -1 if the thread did not rest
 */
export function restingOn(line: string, arch: string): number {
  const [call, fd] = line.split(" ");
  if (call === undefined || fd === undefined || !CALLS[arch]?.has(call)) return -1;
  return Number.parseInt(fd, 16);
}

/** Finds out where one thread rests. */
export class RestPoll {
  #fd = -1;
  #attemptsLeft = ATTEMPTS_MAX;
  #asking: Promise<void> | null = null;

  /** The descriptor; -1: not known. */
  get fd(): number {
    return this.#fd;
  }

  /** Resolves when nobody is asking. */
  async settled(): Promise<void> {
    await this.#asking;
  }

  /**
   * Asks a few times, one after the other, with nothing to do meanwhile.
   *
   * @param libc does it
   * @param control memory that outlives this thread, as the last look may
   * @param backendId whose part of it
   */
  async find(libc: Libc, control: Control, backendId: number): Promise<void> {
    for (let i = 0; i < ATTEMPTS_AT_ONCE && this.#isWanted; i++) {
      this.ask(libc, control, backendId);
      await this.#asking;
    }
  }

  /** Asks once. To be called when this thread is about to rest. See {@linkcode find}. */
  ask(libc: Libc, control: Control, backendId: number): void {
    if (!this.#isWanted || this.#asking !== null) return;
    this.#attemptsLeft--;
    const at = control.backendAt(backendId);
    const threadId = libc.threadId();
    // A thread that is terminated in the call never knows the descriptor: its reaper looks for it.
    Atomics.store(control.words, at + BACKEND.restReader, threadId);
    const file = libc.openProc(`/proc/self/task/${threadId}/syscall`);
    if (file < 0) {
      Atomics.store(control.words, at + BACKEND.restReader, 0);
      this.#attemptsLeft = 0;
      return;
    }
    const text = bytesAt(control, at + BACKEND.restText, REST_TEXT_BYTES);
    const iovec = bytesAt(control, at + BACKEND.restIovec, IOVEC_SIZE_BYTES);
    writeIovec(control.words, at + BACKEND.restIovec, libc.addressOf(text), REST_TEXT_BYTES);
    this.#asking = libc.preadvNonblocking(file, iovec, 0n).then((bytes) => {
      this.#asking = null;
      libc.close(file);
      Atomics.store(control.words, at + BACKEND.restReader, 0);
      const line = new TextDecoder().decode(text.slice(0, Math.max(bytes, 0)));
      this.#fd = restingOn(line, Deno.build.arch);
    });
  }

  get #isWanted(): boolean {
    return this.#fd < 0 && this.#attemptsLeft > 0;
  }
}

/**
 * Closes what a thread had opened, for {@linkcode RestPoll}, when it died: known by its name, as
 * the thread may not have come to know the descriptor, or have closed it already.
 */
export function closeRestFile(libc: Libc, control: Control, backendId: number): void {
  const at = control.backendAt(backendId) + BACKEND.restReader;
  const threadId = Atomics.load(control.words, at);
  if (threadId === 0) return;
  const end = `/task/${threadId}/syscall`;
  for (let fd = 3, gap = 0; gap < GAP_MAX; fd++) {
    const link = libc.readProcLink(`/proc/self/fd/${fd}`);
    gap = link === null ? gap + 1 : 0;
    // The kernel adds a word to the name of what is gone.
    if (link !== null && link.split(" ")[0]!.endsWith(end)) libc.close(fd);
  }
  Atomics.store(control.words, at, 0);
}

function bytesAt({ buffer }: Control, word: number, bytes: number): Uint8Array<SharedArrayBuffer> {
  return new Uint8Array(buffer, word * Int32Array.BYTES_PER_ELEMENT, bytes);
}

/** Of this thread. */
export const restPoll = new RestPoll();
