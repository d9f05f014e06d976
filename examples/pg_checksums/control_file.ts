/**
 * global/pg_control, from which the check learns whether it may run at all and how the data files
 * are laid out. `main.ts` reads it first; `cluster.ts` and `check_files.ts` use what it
 * says.
 *
 * The offsets are those of a 64-bit server with 8-byte alignment, in little-endian byte order. They
 * are the same from PostgreSQL 12 to 18; only the CRC has moved, by the field that 18 put before
 * it.
 *
 * @module
 */

import { crc32c } from "./crc32c.ts";
import { CheckFailure, errorCode, systemFailure } from "./failure.ts";

/** What the check needs to know of a cluster. */
export interface ControlFile {
  /** Identifies the format of the system catalogs; part of a tablespace's directory name. */
  catalogVersion: number;
  /** The bytes of a page. */
  blockSize: number;
  /** The blocks of a relation in one segment file. */
  blocksPerSegment: number;
  /** The kind of page checksums. */
  dataChecksumVersion: number;
}

/** Where the fields are, in bytes from the start of the file. */
const OFFSETS = {
  controlVersion: 8,
  catalogVersion: 12,
  state: 16,
  blockSize: 216,
  blocksPerSegment: 220,
  dataChecksumVersion: 252,
} as const;

/** The bytes that the server reads, of a file that is longer. */
const CONTROL_FILE_BYTES = 296;

/** The CRC's place, last in the structure, by the version of pg_control. */
const CRC_OFFSETS: ReadonlyMap<number, number> = new Map([
  [1201, 288], // PostgreSQL 12
  [1300, 288], // PostgreSQL 13 to 16
  [1700, 288], // PostgreSQL 17
  [1800, 292], // PostgreSQL 18
]);

/** The states of a cluster, in the order of their numbers, worded as by pg_controldata. */
const STATES = [
  "starting up",
  "shut down",
  "shut down in recovery",
  "shutting down",
  "in crash recovery",
  "in archive recovery",
  "in production",
] as const;
const CLEAN_STATES: ReadonlySet<string | undefined> = new Set([STATES[1], STATES[2]]);

/** The one kind of page checksums that there is. */
const PAGE_CHECKSUM_VERSION = 1;
const BLOCK_SIZES: ReadonlySet<number> = new Set([1024, 2048, 4096, 8192, 16384, 32768]);

/**
 * Reads a cluster's pg_control, and makes sure that its pages can be checked.
 *
 * @param dataDirectory The cluster's directory.
 * @throws {CheckFailure} There is no such file, it is damaged or of an unknown version, the cluster
 * has not been shut down cleanly, or has no checksums, or pages of a size that no server has.
 */
export async function readControlFile(dataDirectory: string): Promise<ControlFile> {
  const bytes = await readControlBytes(dataDirectory);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const field = (offset: number): number => view.getUint32(offset, true);

  const crcOffset = findCrc(field(OFFSETS.controlVersion));
  if (crc32c(bytes.subarray(0, crcOffset)) !== field(crcOffset)) {
    throw new CheckFailure("pg_control CRC value is incorrect");
  }
  const control = {
    catalogVersion: field(OFFSETS.catalogVersion),
    blockSize: field(OFFSETS.blockSize),
    blocksPerSegment: field(OFFSETS.blocksPerSegment),
    dataChecksumVersion: field(OFFSETS.dataChecksumVersion),
  };
  requireBlockSize(control.blockSize);
  requireCleanShutdown(field(OFFSETS.state));
  requireChecksums(control.dataChecksumVersion);
  return control;
}

async function readControlBytes(dataDirectory: string): Promise<Uint8Array> {
  const path = `${dataDirectory}/global/pg_control`;
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    const step = errorCode(error) === "EISDIR" ? "read" : "open";
    throw systemFailure(
      `could not ${step} file "${path}"${step === "open" ? " for reading" : ""}`,
      error,
    );
  }
  if (bytes.byteLength < CONTROL_FILE_BYTES) {
    throw new CheckFailure(
      `could not read file "${path}": read ${bytes.byteLength} of ${CONTROL_FILE_BYTES}`,
    );
  }
  return bytes.subarray(0, CONTROL_FILE_BYTES);
}

function findCrc(controlVersion: number): number {
  const crcOffset = CRC_OFFSETS.get(controlVersion);
  if (crcOffset !== undefined) return crcOffset;
  // A number below 65536, written with its four bytes the other way round.
  if (controlVersion !== 0 && controlVersion % 0x10000 === 0) {
    throw new CheckFailure(
      "cluster is not compatible with this machine: pg_control is in the other byte order",
    );
  }
  const known = [...CRC_OFFSETS.keys()].join(", ");
  throw new CheckFailure(
    `pg_control version ${controlVersion} is not supported: it is none of ${known} ` +
      "(PostgreSQL 12 to 18), or the file is damaged",
  );
}

function requireBlockSize(blockSize: number): void {
  if (BLOCK_SIZES.has(blockSize)) return;
  throw new CheckFailure(
    `block size ${blockSize} is not supported: it is none of ${[...BLOCK_SIZES].join(", ")}`,
  );
}

function requireCleanShutdown(state: number): void {
  const name = STATES[state];
  if (CLEAN_STATES.has(name)) return;
  throw new CheckFailure(
    `cluster must be shut down: its state is "${name ?? `unknown (${state})`}"`,
  );
}

function requireChecksums(dataChecksumVersion: number): void {
  if (dataChecksumVersion === 0) {
    throw new CheckFailure("data checksums are not enabled in cluster");
  }
  if (dataChecksumVersion !== PAGE_CHECKSUM_VERSION) {
    throw new CheckFailure(`data checksum version ${dataChecksumVersion} is not supported`);
  }
}
