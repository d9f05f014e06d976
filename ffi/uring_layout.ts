/**
 * uring_layout.ts: offsets of the structs of io_uring and values of its flags, as data
 * (`<linux/io_uring.h>`).
 *
 * @module
 */

/** Bytes of `struct io_uring_params`. */
export const PARAMS_SIZE_BYTES = 120;

/**
 * `struct io_uring_params` in 32-bit words. The two offset tables begin at `sqOffsets` and
 * `cqOffsets`.
 */
export const PARAMS_WORDS = {
  sqEntries: 0,
  cqEntries: 1,
  flags: 2,
  features: 5,
  sqOffsets: 10,
  sqUserAddress: 18,
  cqOffsets: 20,
  cqUserAddress: 28,
  size: 30,
} as const;

/**
 * Where in the table of submission offsets each is; a value is in bytes from the start of the ring.
 */
export const SQ_OFFSETS = { head: 0, tail: 1, ringMask: 2, flags: 4, array: 6 } as const;

/** The same for completions. */
export const CQ_OFFSETS = { head: 0, tail: 1, ringMask: 2, cqes: 5 } as const;

/** A submission queue entry, in 32-bit words. The first holds opcode, flags and priority. */
export const SQE_WORDS = {
  opcode: 0,
  fd: 1,
  offsetLow: 2,
  offsetHigh: 3,
  addressLow: 4,
  addressHigh: 5,
  length: 6,
  operationFlags: 7,
  userDataLow: 8,
  userDataHigh: 9,
  bufferIndex: 10,
  size: 16,
} as const;

/** Bytes of a submission queue entry. */
export const SQE_SIZE_BYTES = 64;

/** A completion queue entry, in 32-bit words. */
export const CQE_WORDS = { userDataLow: 0, userDataHigh: 1, result: 2, size: 4 } as const;

/** Bytes of a completion queue entry. */
export const CQE_SIZE_BYTES = 16;

/** The operations that are used, and others whose arguments fit into a handle. */
export const URING_OP = {
  readv: 1,
  writev: 2,
  fsync: 3,
  readFixed: 4,
  writeFixed: 5,
  syncFileRange: 8,
  asyncCancel: 14,
  fallocate: 17,
  read: 22,
  write: 23,
  fadvise: 24,
  send: 26,
  recv: 27,
  ftruncate: 55,
  /** None, and none to come: the kernel answers with EINVAL. */
  unknown: 255,
} as const;

/** Flag of fsync: data only. */
export const FSYNC_DATASYNC = 1;
/**
 * Flag of an entry, where it stands in the entry's first word: its file is a number that the ring
 * knows.
 */
export const SQE_FIXED_FILE = 1 << 0 << 8;
/** The same: executed by a kernel thread at once. */
export const SQE_ASYNC = 1 << 4 << 8;

/** Flag of `io_uring_setup`: the caller brings the memory of the ring (Linux 6.5). */
export const SETUP_NO_MMAP = 1 << 14;
/** Flag of `io_uring_enter`: looks for completions. */
export const ENTER_GETEVENTS = 1;
/** In the submission ring's flags: completions wait in the kernel, as the queue was full. */
export const SQ_CQ_OVERFLOW = 2;
/** Feature: offset -1 is the file's own position (Linux 5.6, by which that version is known). */
export const FEATURE_RW_CUR_POS = 1 << 3;
/** Feature: attributes of reads and writes (Linux 6.14, by which that version is known). */
export const FEATURE_RW_ATTR = 1 << 16;
/** Feature: both queues are in one mapping (Linux 5.4). */
export const FEATURE_SINGLE_MMAP = 1;

/** Opcodes of `io_uring_register`. */
export const REGISTER = { buffers: 0, files: 2, filesUpdate: 6, cloneBuffers: 30 } as const;
/** `struct io_uring_files_update`, in 32-bit words. */
export const FILES_UPDATE_WORDS = { offset: 0, fdsLow: 2, fdsHigh: 3, size: 4 } as const;
/**
 * Bytes of `struct io_uring_clone_buffers`, whose first word is the ring to clone from (Linux
 * 6.12).
 */
export const CLONE_BUFFERS_SIZE_BYTES = 32;

/**
 * Where the kernel's memory of a ring begins, as an offset for `mmap(2)`: both queues, then the
 * entries.
 */
export const MAP_OFFSETS = { queues: 0n, entries: 0x10000000n } as const;
