/**
 * ffi_values.ts: what of the wire the layers above the core use: they import it from here, as only
 * the core and the methods know `ffi/`.
 *
 * @module
 */

export * as errnos from "../../ffi/errno.ts";
export * as system from "../../ffi/layout.ts";
export { PAGE_SIZE_BYTES, TRANSFER_BYTES_MAX } from "../../ffi/layout.ts";
export { alignUp, fromWords, highWord, isAligned, lowWord } from "../../ffi/memory.ts";
