/**
 * wasm_memory.ts: the `WebAssembly.Memory` of shared memory, for code of WebAssembly that works on
 * it. From the SharedArrayBuffer there is no way back to it, so each thread keeps it beside.
 *
 * @module
 */

import { assert } from "../base/assert.ts";

const MEMORIES = new WeakMap<SharedArrayBuffer, WebAssembly.Memory>();

/** Keeps what a buffer is the buffer of. */
export function keepWasmMemory(buffer: SharedArrayBuffer, memory: WebAssembly.Memory): void {
  MEMORIES.set(buffer, memory);
}

/** The memory that a buffer is the buffer of. It was made in this thread, or came with a token. */
export function wasmMemoryOf(buffer: SharedArrayBuffer): WebAssembly.Memory {
  const memory = MEMORIES.get(buffer);
  assert(memory !== undefined, "Shared memory without its WebAssembly.Memory");
  return memory;
}
