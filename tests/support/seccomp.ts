/**
 * seccomp.ts: programs that refuse themselves system calls, as containers do to what runs in them.
 *
 * @module
 */

/** `io_uring_setup`, `io_uring_enter`, `io_uring_register`. */
export const URING_CALLS: readonly number[] = [425, 426, 427];
/** `io_setup`, `io_destroy`, `io_getevents`, `io_submit`, `io_cancel` of x86-64. */
export const NATIVE_AIO_CALLS: readonly number[] = [206, 207, 208, 209, 210];
/**
 * What Docker's default profile refuses a container without further capabilities, on x86-64: those
 * of io_uring, and what changes the kernel, its clock, its file systems or other processes:
 * `mount`, `umount2`, `swapon`, `swapoff`, `reboot`, `sethostname`, `init_module`, `delete_module`,
 * `settimeofday`, `kexec_load`, `add_key`, `request_key`, `keyctl`, `unshare`, `perf_event_open`,
 * `open_by_handle_at`, `clock_settime`, `setns`, `finit_module`, `bpf`, `userfaultfd`.
 */
export const DOCKER_CALLS: readonly number[] = [
  ...URING_CALLS,
  ...[165, 166, 167, 168, 169, 170, 175, 176, 164, 246, 248, 249, 250, 272, 298, 304, 227, 308],
  ...[313, 321, 323],
];

/** The text of a program's part that refuses it calls from then on, in all of its threads. */
export function refusingCalls(calls: readonly number[], errno: number): string {
  return `{
  const { symbols: c } = Deno.dlopen("libc.so.6", {
    prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
    syscall: { parameters: ["i64", "u64", "u64", "buffer"], result: "i64" },
    memmove: { parameters: ["buffer", "buffer", "usize"], result: "usize" },
  });
  const calls = ${JSON.stringify(calls)};
  const filter = new DataView(new ArrayBuffer(8 * (calls.length + 3)));
  const row = (i, code, yes, k) => {
    filter.setUint16(i * 8, code, true);
    filter.setUint8(i * 8 + 2, yes);
    filter.setUint32(i * 8 + 4, k, true);
  };
  row(0, 0x20, 0, 0); // the number of the call
  calls.forEach((call, i) => row(i + 1, 0x15, calls.length - i, call));
  row(calls.length + 1, 0x06, 0, 0x7fff0000); // allowed
  row(calls.length + 2, 0x06, 0, 0x00050000 | ${errno});
  const bytes = new Uint8Array(filter.buffer);
  const program = new DataView(new ArrayBuffer(16));
  program.setUint16(0, calls.length + 3, true);
  program.setBigUint64(8, c.memmove(bytes, bytes, 0n), true);
  c.prctl(38, 1n, 0n, 0n, 0n); // no new privileges
  const result = c.syscall(317n, 1n, 1n, new Uint8Array(program.buffer)); // seccomp, all threads
  if (result !== 0n) throw new Error("the filter was refused: " + result);
}`;
}
