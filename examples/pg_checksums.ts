/**
 * Verifies every data page of a PostgreSQL cluster that is shut down, as `pg_checksums --check`
 * does: same files, same figures, same verdict, same exit status.
 *
 * ```sh
 * deno run -A examples/pg_checksums.ts /var/lib/postgresql/15/main
 * ```
 *
 * Knows the clusters of PostgreSQL 12 to 18, with pages of any size.
 *
 * This file starts as many Workers as are wanted, by `workers.ts`, and then loads the program: so
 * all threads load their modules side by side. In `pg_checksums/`, in the order in which a check
 * comes by: `main.ts` ties the others together; `options.ts` is the command line; `cluster.ts` and
 * `control_file.ts` say whether the cluster may be checked; `scan.ts` which files have pages. Then
 * `work.ts` shares the files out among the threads, and in each, in a Worker by `check_worker.ts`,
 * `check_files.ts` has them read, by `streamed_file.ts` or `small_file.ts`, and their pages
 * verified, by `verify.ts`, `page.ts` and `simd_hash.ts`. `part.ts` puts what they find in order;
 * `report.ts` and `../terminal/progress.ts` are what the user sees.
 *
 * @module
 */

import { Workers } from "./pg_checksums/workers.ts";

if (import.meta.main) {
  const workers = Workers.startEarly(Deno.args);
  const { main } = await import("./pg_checksums/main.ts");
  // The report is written and all is closed; ending the Workers one by one would take longer.
  Deno.exit(await main(Deno.args, workers));
}
