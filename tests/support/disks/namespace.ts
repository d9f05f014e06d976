/**
 * namespace.ts: programs that see another file system than the rest of the machine: files that are
 * installed are not there for them. It takes root, and a kernel with overlayfs.
 *
 * @module
 */

/** Mounts a folder over itself, less some files, for the program that it becomes. */
const HIDE = `
  set -e
  folder=$1 names=$2
  shift 2
  mount --make-rprivate /
  mount -t tmpfs none /mnt
  mkdir /mnt/upper /mnt/work
  mount -t overlay overlay -o "lowerdir=$folder,upperdir=/mnt/upper,workdir=/mnt/work" "$folder"
  for file in "$folder"/$names; do rm "$file"; done
  exec "$@"
`;

/**
 * A command that runs another one, which does not see some files.
 *
 * @param folder where they are
 * @param names of them, as a pattern of the shell
 */
export function hidingFiles(folder: string, names: string): readonly string[] {
  return ["unshare", "--mount", "sh", "-c", HIDE, "sh", Deno.realPathSync(folder), names];
}

function canHide(): boolean {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  const [command, ...args] = [...hidingFiles(import.meta.dirname ?? "/", "namespace.ts"), "true"];
  try {
    return new Deno.Command(command!, { args, stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** Whether this machine, and this user, can do it. */
export const canHideFiles: boolean = canHide();
