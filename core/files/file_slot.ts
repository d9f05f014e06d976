/**
 * file_slot.ts: what names one opening of a file in the table of open files.
 *
 * @module
 */

/** Names one opening of a file. */
export interface FileSlot {
  /** Its place in the table. */
  readonly slot: number;
  /** Which use of the place. */
  readonly generation: number;
}
