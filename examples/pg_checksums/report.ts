/**
 * What the user sees: as text in the C program's words, or as one JSON document.
 * `main.ts` chooses, and tells the report what `verify.ts` found.
 *
 * @module
 */

import { writeText } from "../terminal/output.ts";
import type { Progress } from "../terminal/progress.ts";
import { errorLine } from "./failure.ts";
import type { BadPage } from "./verify.ts";

/** What a check has counted. */
export interface Figures {
  filesScanned: number;
  /** With new pages, which have no checksum. */
  blocksScanned: number;
  badChecksums: number;
  bytesScanned: number;
}

/** How a check ended. */
export type Outcome =
  | { verdict: "intact" | "damaged"; figures: Figures; dataChecksumVersion: number }
  | { verdict: "failed"; figures: Figures; message: string }
  | { verdict: "interrupted"; figures: Figures };

/** How the files were read. */
export interface Circumstances {
  /** The I/O method. */
  method: string;
  /** Whether all files were read past the page cache. */
  direct: boolean;
  seconds: number;
}

/** Takes what a check finds, and tells the user. */
export interface Report {
  /** Some bad pages of a file, in order; perhaps none. */
  badPages(file: string, pages: BadPage[], progress: Progress): void;
  /** The check has ended; nothing more will come. */
  finish(outcome: Outcome, circumstances: Circumstances | undefined): void;
}

/** As the C program does: bad pages and failures on standard error, figures on standard output. */
export class TextReport implements Report {
  badPages(file: string, pages: BadPage[], progress: Progress): void {
    if (pages.length === 0) return;
    progress.print(pages.map((page) => errorLine(describeBadPage(file, page))).join(""));
  }

  finish(outcome: Outcome): void {
    switch (outcome.verdict) {
      case "intact":
      case "damaged":
        writeText(Deno.stdout, summary(outcome.figures, outcome.dataChecksumVersion));
        break;
      case "failed":
        writeText(Deno.stderr, errorLine(outcome.message));
        break;
      case "interrupted":
        break;
    }
  }
}

/**
 * One JSON document on standard output, written as the check goes along, so that any number of bad
 * pages needs no memory. Failures are on standard error too.
 */
export class JsonReport implements Report {
  #separator = `{\n"badPages": [`;

  badPages(file: string, pages: BadPage[]): void {
    for (const page of pages) this.#writePage(JSON.stringify({ file, ...page }));
  }

  finish(outcome: Outcome, circumstances: Circumstances | undefined): void {
    const { figures, verdict, ...rest } = outcome;
    const seconds = circumstances?.seconds ?? 0;
    const megabytes = figures.bytesScanned / 1e6;
    const document = {
      verdict,
      ...figures,
      ...rest,
      ...circumstances,
      megabytesPerSecond: seconds === 0 ? 0 : megabytes / seconds,
    };
    if (this.#separator !== ",") writeText(Deno.stdout, this.#separator);
    writeText(Deno.stdout, `],\n${JSON.stringify(document, null, 2).slice(2)}\n`);
    if (outcome.verdict === "failed") writeText(Deno.stderr, errorLine(outcome.message));
  }

  #writePage(page: string): void {
    writeText(Deno.stdout, `${this.#separator}\n${page}`);
    this.#separator = ",";
  }
}

function describeBadPage(file: string, { block, calculated, stored }: BadPage): string {
  return `checksum verification failed in file "${file}", block ${block}: ` +
    `calculated checksum ${hexadecimal(calculated)} but block contains ${hexadecimal(stored)}`;
}

function hexadecimal(value: number): string {
  return value.toString(16).toUpperCase();
}

function summary(figures: Figures, dataChecksumVersion: number): string {
  return `\
Checksum operation completed
Files scanned:   ${figures.filesScanned}
Blocks scanned:  ${figures.blocksScanned}
Bad checksums:  ${figures.badChecksums}
Data checksum version: ${dataChecksumVersion}
`;
}
