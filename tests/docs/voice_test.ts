/**
 * voice_test.ts: pages, and comments of the folders that are named here, do without the words of
 * voice_rules.ts.
 */

import { assertEquals } from "@std/assert";
import { readPages } from "../support/house/doc_pages.ts";
import { listSources, readSource } from "../support/house/source_files.ts";
import { findCommentFaults, findVoiceFaults } from "../support/house/voice_rules.ts";

/** Folders of sources whose comments were read for it; each ends with a slash. */
const READ_FOLDERS: readonly string[] = [
  "bench/",
  "core/",
  "examples/",
  "ffi/",
  "methods/",
  "storage/",
  "testing/",
  "tests/",
];

Deno.test("voice: pages say who does what", () => {
  assertEquals(findVoiceFaults(readPages()), []);
});

Deno.test("voice: comments say who does what", () => {
  assertEquals(findCommentFaults(READ_FOLDERS.flatMap(listSources).map(readSource)), []);
});

const WRONG = [
  "Who waits for it gets it.",
  "It wakes who sleeps.",
  "The lock goes to who\nasked first.",
  "Nobody but this module has such a view.",
  "The kernel is asked once more.",
  "The waiters are told.",
  "It is not told.",
  "That would be told twice.",
  "A thread looked in vain.",
];

const RIGHT = [
  "Whoever waits for it gets it.",
  "Those who attach later see it, and so do readers, who look once.",
  "It says who sleeps.",
  "Only this module has such a view.",
  "A thread asks the kernel once more, as somebody who waits tells it.",
  "It keeps what was asked for.",
];

Deno.test("voice canary: each word is found on a page, in its line", () => {
  for (const text of WRONG) {
    const faults = findVoiceFaults([{ path: "docs/a.md", text: `# Title\n\n${text}\n` }]);
    assertEquals(faults.map((fault) => /^docs\/a\.md:([34]):/.test(fault)), [true], text);
  }
  for (const text of [...RIGHT, "## Who wakes whom", "`is told`", "```text\nwho\n```"]) {
    assertEquals(findVoiceFaults([{ path: "docs/a.md", text: `# Title\n\n${text}\n` }]), [], text);
  }
});

Deno.test("voice canary: each word is found in a comment, in its line", () => {
  const faultsOf = (text: string) => findCommentFaults([{ path: "core/a.ts", text }]);
  for (const text of WRONG) {
    const comment = `let a = 1;\n/**\n * ${text.replaceAll("\n", "\n * ")}\n */\nlet b;\n`;
    const faults = faultsOf(comment);
    assertEquals(faults.map((fault) => /^core\/a\.ts:[34]:/.test(fault)), [true], text);
  }
  for (const text of [...RIGHT, 'It says "is told".', "`who`"]) {
    assertEquals(faultsOf(`// ${text}\n`), [], text);
  }
  assertEquals(faultsOf('const text = "who is told in vain";\n'), []);
});
