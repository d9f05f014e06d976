/**
 * linux_aio_layout.ts: the structs of Linux's native AIO in 32-bit words, and values of its
 * commands and flags (`<linux/aio_abi.h>`).
 *
 * @module
 */

/** `struct iocb`, little-endian: one IO that is handed to the kernel. */
export const IOCB_WORDS = {
  dataLow: 0,
  dataHigh: 1,
  /** Flags of `preadv2(2)`. */
  transferFlags: 3,
  command: 4,
  fd: 5,
  bufferLow: 6,
  bufferHigh: 7,
  lengthLow: 8,
  lengthHigh: 9,
  offsetLow: 10,
  offsetHigh: 11,
  flags: 14,
  eventFd: 15,
  size: 16,
} as const;

/** What an entry of {@linkcode IOCB_WORDS} asks for. */
export const IOCB_COMMAND = {
  read: 0,
  write: 1,
  fsync: 2,
  fdatasync: 3,
  readv: 7,
  writev: 8,
} as const;

/** The kernel adds 1 to the eventfd of the entry when the IO is over. */
export const IOCB_FLAG_EVENTFD = 1;

/** `struct io_event`: what came of an IO. */
export const IO_EVENT_WORDS = { dataLow: 0, dataHigh: 1, result: 4, size: 8 } as const;
