/**
 * outside_names.ts: names in backquotes that are not this module's, with the reason. The check
 * looks in Deno itself for what Deno has (`Deno.errors.Busy`, `node:fs`, `Atomics.wait`), so that
 * needs no entry. A name that no page has any more is a fault, too.
 *
 * @module
 */

/** Names by reason, with spaces between them. */
const NAMES: Readonly<Record<string, string>> = {
  "Options of Deno's command line.":
    "--allow-ffi --allow-import --allow-read --allow-write --include --parallel --trace-leaks",
  "Settings of deno.json.": "sanitizeOps sanitizeResources",
  "A type of Deno, which the runtime does not export.": "Deno.Conn",
  "This module, where it is published.": "jsr:@deno-aio/aio",
  "Files that the README has its reader make.": "example.ts",
  "Flags of open(2).": "O_CREAT O_DIRECT O_DSYNC O_EXCL O_TRUNC",
  "Other words of Linux's system calls.":
    "IOSQE_ASYNC READV_FIXED STATX_DIOALIGN io_cancel io_destroy io_getevents io_setup io_submit " +
    "usleep",
  "Functions, settings and file systems of the kernel.":
    "blk_mq_get_tag CONFIG_AIO CONFIG_IO_URING fs.aio-max-nr fuseblk nr nr_requests",
  "PostgreSQL's settings.":
    "commit_delay data_sync_retry huge_pages io_combine_limit io_max_combine_limit " +
    "io_max_concurrency MaxBackends shared_buffers",
  "PostgreSQL's functions and sources.":
    "ereport md.c pgaio_io_start_writev pgaio_wref_check_done read_stream.c reopen smgr.c " +
    "src/backend/storage/aio StartReadBuffers WaitReadBuffers",
  "PostgreSQL's structs and views.": "pg_aios PgAioHandle PgAioResult PgAioReturn",
};

/** Where the files of the system lie. */
export const SYSTEM_FOLDERS = ["/lib/", "/lib64/", "/proc/", "/sys/"] as const;

/** Programs whose command lines the pages show. */
export const PROGRAMS: ReadonlySet<string> = new Set(
  "apt-get cat deno kill pg_checksums strace sysctl ulimit".split(" "),
);

/** All of them, each with its reason. */
export const OUTSIDE_NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries(NAMES).flatMap(([reason, names]) =>
    names.split(" ").map((name) => [name, reason] as const)
  ),
);
