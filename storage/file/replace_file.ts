/**
 * replace_file.ts: putting a file in the place of another one, so that at each moment, and after a
 * crash, the path names the old one or the new one, whole.
 *
 * ```text
 * temporary file beside it ─► written ─► flushed ─► its permissions ─► renamed ─► folder flushed
 * ```
 *
 * All paths go through Deno, which asks for the permissions.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";
import { pathString, shown, systemErrorOf } from "../../core/inside.ts";
import type { OpenFileOptions } from "../../core/inside.ts";
import type { AioFile } from "./file.ts";

/** Writes the new file, or what it is to hold. */
export type NewContent = Uint8Array | string | ((file: AioFile) => unknown);

/** Opens the temporary file: `aio.openFile`. */
export type OpenFile = (path: string, options: OpenFileOptions) => Promise<AioFile>;

/** Permissions of a file that replaces none, less the process's umask. */
const NEW_MODE = 0o666;
const PERMISSIONS = 0o7777;

const TEMPORARY_SUFFIX = ".tmp";

function temporaryOf(path: string): string {
  const name = `.${basename(path)}.${crypto.randomUUID()}${TEMPORARY_SUFFIX}`;
  return join(dirname(path), name);
}

/** Whether a name is one that a crash may leave beside a file that was being replaced. */
export function isTemporaryOf(replaced: string, name: string): boolean {
  return name.startsWith(`.${replaced}.`) && name.endsWith(TEMPORARY_SUFFIX);
}

/** See `Aio.replaceFile`. */
export async function replaceFile(
  openFile: OpenFile,
  path: string | URL,
  content: NewContent,
): Promise<void> {
  const named = pathString(path, "replace");
  check(named, content);
  try {
    await replace(openFile, await targetOf(named), content);
  } catch (error) {
    throw saying(`Cannot replace ${shown(named)}`, error);
  }
}

/** An error whose message says what cannot be done, unless it keeps its own, as a DOMException. */
function saying(what: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  try {
    error.message = `${what}: ${error.message}`;
  } catch {
    // It is the user's own, and says what it says.
  }
  return error;
}

function check(path: string, content: unknown): void {
  const isContent = typeof content === "string" || typeof content === "function" ||
    content instanceof Uint8Array;
  if (isContent) return;
  throw new TypeError(
    `Cannot replace ${shown(path)} by ${shown(content)}: ` +
      "pass a Uint8Array, a string, or a function that writes the file",
  );
}

/** A link stays: the file that it names is replaced. */
async function targetOf(path: string): Promise<string> {
  const info = await infoOf(path);
  return info?.isSymlink === true ? await Deno.realPath(path) : path;
}

async function infoOf(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

async function replace(openFile: OpenFile, path: string, content: NewContent): Promise<void> {
  const old = await infoOf(path);
  const temporary = temporaryOf(path);
  const mode = old === null ? NEW_MODE : old.mode! & PERMISSIONS;
  const file = await openFile(temporary, { read: true, write: true, createNew: true, mode });
  let isTemporary = true;
  try {
    await write(file, content);
    // The umask has taken some away.
    if (old !== null) await Deno.chmod(temporary, mode);
    await Deno.rename(temporary, path);
    isTemporary = false;
    await syncDirectory(dirname(path));
  } finally {
    // Why it could not be replaced is what counts.
    if (isTemporary) await Deno.remove(temporary).catch(() => {});
  }
}

async function write(file: AioFile, content: NewContent): Promise<void> {
  try {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    if (bytes instanceof Uint8Array) await file.writeAt(bytes, 0);
    else await bytes(file);
    await file.sync();
  } finally {
    await file[Symbol.asyncDispose]();
  }
}

/** See `Aio.syncDirectory`. */
export async function syncDirectory(path: string | URL): Promise<void> {
  const what = `Cannot sync the directory ${shown(String(path))}`;
  let syscall = "open";
  try {
    using folder = await Deno.open(path, { read: true });
    syscall = "fsync";
    await folder.sync();
  } catch (error) {
    const told = systemErrorOf(error, what, { syscall, path: String(path) });
    throw told === error ? saying(what, error) : told;
  }
}
