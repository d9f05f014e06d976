/**
 * refusals.ts: the errors of misused handles, in words. Apart from the functions that check, so
 * that those stay small enough for the compiler to inline them: that is worth a tenth of a cached
 * read.
 *
 * @module
 */

import { AioApiError, shown } from "../base/errors.ts";
import { STATE_NAMES } from "../memory/handle_state.ts";
import { CALLBACKS_MAX } from "./callback.ts";
import { STARTED_NAMES } from "./operation_table.ts";
import { TRANSFER_BYTES_MAX } from "../../ffi/layout.ts";
import { TARGET_DATA_WORDS } from "./result.ts";

/** A call in a state where it may not be made. */
export function refuseState(call: string, index: number, state: number, remedy: string): never {
  throw new AioApiError(
    `Cannot call ${call}() on handle ${index} in state ${STATE_NAMES[state]}: ${remedy}`,
  );
}

/** A file descriptor that cannot be one. */
export function refuseDescriptor(call: string, fd: number): never {
  const message = `Cannot ${call} as the file descriptor must be an integer from 0: got ${
    shown(fd)
  }`;
  throw typeof fd === "number" ? new RangeError(message) : new TypeError(message);
}

/** An offset that is negative, no integer, or too large to be exact. */
export function refuseOffset(call: string, offset: number): never {
  const remedy = typeof offset === "bigint" ? "; pass a number" : "";
  const message = `Cannot ${call} at offset ${shown(offset)}: offsets are integers from 0 to ` +
    `${Number.MAX_SAFE_INTEGER}${remedy}`;
  throw typeof offset === "number" ? new RangeError(message) : new TypeError(message);
}

/** A transfer that is too long for one IO, or ends beyond what can be addressed. */
export function refuseTransfer(call: string, offset: number, length: number): never {
  if (length > TRANSFER_BYTES_MAX) {
    throw new RangeError(
      `Cannot ${call} ${length} bytes in one IO: at most ${TRANSFER_BYTES_MAX} bytes, split the transfer`,
    );
  }
  refuseEnd(call, offset, length);
}

/** A transfer that ends beyond what can be addressed. */
export function refuseEnd(call: string, offset: number, length: number): never {
  throw new RangeError(
    `Cannot ${call} ${length} bytes at offset ${offset}: the end is beyond ${Number.MAX_SAFE_INTEGER}`,
  );
}

/** A target that does not exist, was set before, or has too much data. */
export function refuseTarget(index: number, id: number, present: string, words: number): never {
  if (present !== "") {
    throw new AioApiError(`Cannot set a target of handle ${index} twice: it is ${present}`);
  }
  if (words > TARGET_DATA_WORDS) {
    throw new RangeError(`Cannot set ${words} words of target data: at most ${TARGET_DATA_WORDS}`);
  }
  throw new RangeError(
    `Cannot set target ${shown(id)}: there is no such target, see aio.targetId()`,
  );
}

/** Callbacks that do not exist, are too many, or have data that is no byte. */
export function refuseCallbacks(isKnown: boolean, id: number, count: number, data: number): never {
  if (!isKnown) throw new RangeError(`callback ${shown(id)} is out of range`);
  if (count >= CALLBACKS_MAX) {
    throw new RangeError(`too many callbacks, the max is ${CALLBACKS_MAX}`);
  }
  throw new RangeError(`Cannot register callback data ${shown(data)}: an integer from 0 to 255`);
}

/** A buffer that is none, or empty. */
export function refuseBuffer(entry: number, view: unknown): never {
  if (view instanceof Uint8Array) throw new RangeError(`Cannot set buffer ${entry}: it is empty`);
  throw new TypeError(`Cannot set buffer ${entry} to ${shown(view)}: pass a Uint8Array`);
}

/** A list of buffers that is none, empty, or too long. */
export function refuseBufferList(buffers: unknown, limit: number): never {
  if (!Array.isArray(buffers)) {
    throw new TypeError(
      `Cannot set the iovec to ${shown(buffers)}: pass a Uint8Array or a list of them`,
    );
  }
  if (buffers.length === 0) {
    throw new RangeError("Cannot set an empty iovec: pass at least one buffer");
  }
  throw new RangeError(
    `Cannot set an iovec of ${buffers.length} buffers: at most ${limit}, the option "ioMaxCombineLimit"`,
  );
}

/** An IO that is started without what it needs. */
export function refuseIncomplete(call: string, index: number, what: string, remedy: string): never {
  throw new AioApiError(`Cannot ${call} handle ${index} without ${what}: call ${remedy} first`);
}

/** Memory that the kernel could still be writing to when it is somebody else's. */
export function refuseLocalMemory(call: string): never {
  throw new TypeError(
    `Cannot ${call} with memory that may go away while the kernel uses it: take it from aio.alloc() or ` +
      `pass its SharedArrayBuffer to aio.adoptMemory(), or set the flag "referencesLocal" to have the ` +
      "IO executed at once",
  );
}

/** Handle data that is empty, too long, or set before. */
export function refuseHandleData(
  index: number,
  isSet: boolean,
  count: number,
  limit: number,
): never {
  if (isSet) throw new AioApiError(`Cannot set the data of handle ${index} twice`);
  throw new RangeError(`Cannot set ${count} entries of handle data: 1 to ${limit}`);
}

/** An entry of handle data that does not fit. */
export function refuseHandleDatum(value: unknown): never {
  throw new RangeError(`Cannot set handle data ${shown(value)}: an integer from 0 to 2^53 - 1`);
}

/** A flag that does not exist. */
export function refuseFlag(flag: string): never {
  throw new RangeError(
    `Cannot set the flag ${shown(flag)}: known are synchronous, referencesLocal, buffered`,
  );
}

/** A word of target data that is no 32-bit integer. */
export function refuseTargetWord(index: number, word: unknown): never {
  throw new RangeError(
    `Cannot set word ${index} of target data to ${shown(word)}: a 32-bit integer`,
  );
}

/** A callback looks at memory that only its issuer has adopted. */
export function refuseUnknownMemory(length: number): never {
  throw new AioApiError(
    `Cannot look at ${length} bytes of an IO's memory here: the thread that started it has adopted ` +
      "that memory; adopt it in every attached thread",
  );
}

/** An operation that does not exist. */
export function refuseOperation(name: unknown): never {
  throw new TypeError(
    `Cannot start ${shown(name)}: there is no such operation, known are ${
      STARTED_NAMES.join(", ")
    }`,
  );
}

/** An operand of another operation. */
export function refuseOperand(call: string, operand: string): never {
  throw new TypeError(`Cannot ${call} with "${operand}": this operation does not take it`);
}

/** The length of a range that cannot be one. */
export function refuseLength(call: string, length: number): never {
  const message = `Cannot ${call} over ${shown(length)} bytes: lengths are integers from 0 to ` +
    `${Number.MAX_SAFE_INTEGER}`;
  throw typeof length === "number" ? new RangeError(message) : new TypeError(message);
}

/** Flags of an operation that are no 32 bits. */
export function refuseFlags(call: string, flags: number): never {
  const message = `Cannot ${call} with the flags ${shown(flags)}: an integer from 0 to 4294967295`;
  throw typeof flags === "number" ? new RangeError(message) : new TypeError(message);
}
