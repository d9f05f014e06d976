/**
 * layout.ts: offsets of the kernel's structs and values of its flags, as data.
 *
 * Each table names the header it was taken from; `tests/ffi/layout_test.ts` pins sizes and offsets
 * and reads known values back through the real calls.
 *
 * @module
 */

/** Bytes of `struct iovec` (`<bits/types/struct_iovec.h>`, 64-bit): base, then length. */
export const IOVEC_SIZE_BYTES = 16;

/** `struct iovec` in 32-bit words: little-endian address, then length. */
export const IOVEC_WORDS = {
  baseLow: 0,
  baseHigh: 1,
  lengthLow: 2,
  lengthHigh: 3,
  size: 4,
} as const;

/**
 * Most bytes Linux transfers in one call (`MAX_RW_COUNT` with 4 KiB pages): the rest is left for
 * the next.
 */
export const TRANSFER_BYTES_MAX = 0x7ffff000;

/**
 * Bytes of a page of memory; direct I/O is aligned at least to this where nothing else is known.
 */
export const PAGE_SIZE_BYTES = 4096;

/**
 * `struct statx` (`<linux/stat.h>`, Linux 6.1 for the two alignments): the fields that are read.
 */
export const STATX = {
  mask: { type: "u32", offset: 0 },
  blockSize: { type: "u32", offset: 4 },
  links: { type: "u32", offset: 16 },
  user: { type: "u32", offset: 20 },
  group: { type: "u32", offset: 24 },
  mode: { type: "u16", offset: 28 },
  inode: { type: "u64", offset: 32 },
  size: { type: "u64", offset: 40 },
  blocks: { type: "u64", offset: 48 },
  accessed: { type: "u64", offset: 64 },
  born: { type: "u64", offset: 80 },
  changed: { type: "u64", offset: 96 },
  modified: { type: "u64", offset: 112 },
  ownMajor: { type: "u32", offset: 128 },
  ownMinor: { type: "u32", offset: 132 },
  deviceMajor: { type: "u32", offset: 136 },
  deviceMinor: { type: "u32", offset: 140 },
  directMemoryAlign: { type: "u32", offset: 152 },
  directOffsetAlign: { type: "u32", offset: 156 },
} as const;

/** Bytes of `struct statx`. */
export const STATX_SIZE_BYTES = 256;

/** The fields that `statx(2)` fills, and where it looks from. */
export const STATX_FLAGS = {
  basicStats: 0x7ff,
  birthTime: 0x800,
  directAlign: 0x2000,
  atEmptyPath: 0x1000,
  atSymlinkNoFollow: 0x100,
} as const;

/** `struct statfs`: its first word is the type of the file system. */
export const STATFS_SIZE_BYTES = 120;
/** The type of FUSE file systems (`<linux/magic.h>`). */
export const FUSE_SUPER_MAGIC = 0x65735546;
/**
 * The types of file systems that need neither a block device nor a server, or bring their own
 * devices.
 */
export const LOCAL_MAGICS = {
  /** `<linux/magic.h>` */
  tmpfs: 0x01021994,
  ramfs: 0x858458f6,
  hugetlbfs: 0x958458f6,
  overlayfs: 0x794c7630,
  btrfs: 0x9123683e,
  proc: 0x9fa0,
  sysfs: 0x62656572,
  debugfs: 0x64626720,
  tracefs: 0x74726163,
  securityfs: 0x73636673,
  selinuxfs: 0xf97cff8c,
  cgroup: 0x27e0eb,
  cgroup2: 0x63677270,
  devpts: 0x1cd1,
  pstore: 0x6165676c,
  efivarfs: 0xde5e81e4,
  bpf: 0xcafe4a11,
  binfmtMisc: 0x42494e4d,
  /** statfs(2) */
  ubifs: 0x24051905,
  mqueue: 0x19800202,
  /** `fs/configfs/mount.c`, `fs/bcachefs` of the kernel, and OpenZFS's `zfs_vfsops.c` */
  configfs: 0x62656570,
  bcachefs: 0xca451a4e,
  zfs: 0x2fc12fc1,
} as const;

/** The types of some more, by which errors name them (`<linux/magic.h>`, and their sources). */
export const OTHER_MAGICS = {
  /** Those of ext2 and ext3 are the same. */
  ext4: 0xef53,
  xfs: 0x58465342,
  f2fs: 0xf2f52010,
  fuse: FUSE_SUPER_MAGIC,
  nfs: 0x6969,
  cifs: 0xff534d42,
  smb2: 0xfe534d42,
  "9p": 0x01021997,
  ceph: 0x00c36400,
  afs: 0x5346414f,
  vfat: 0x4d44,
  exfat: 0x2011bab0,
  ntfs3: 0x7366746e,
  hfsplus: 0x482b,
  iso9660: 0x9660,
  udf: 0x15013346,
  squashfs: 0x73717368,
  erofs: 0xe0f5e1e2,
  jfs: 0x3153464a,
  nilfs2: 0x3434,
  gfs2: 0x01161970,
  ocfs2: 0x7461636f,
  lustre: 0x0bd00bd0,
  ecryptfs: 0xf15f,
} as const;

/** In place of a directory's descriptor: the working directory. */
export const AT_FDCWD = -100;
/** Flag of `linkat(2)`: the name of the file may be a link to it, such as one of `/proc`. */
export const AT_SYMLINK_FOLLOW = 0x400;
/** Closed on exec: a flag of `dup3(2)`. */
export const O_CLOEXEC = 0o2000000;

/**
 * `struct stat` of macOS with 64-bit inodes (`<sys/stat.h>`; untested): the fields that are read.
 */
export const STAT_DARWIN = {
  device: { type: "u32", offset: 0 },
  mode: { type: "u16", offset: 4 },
  inode: { type: "u64", offset: 8 },
  size: { type: "u64", offset: 96 },
} as const;

/** The file types in the mode word (`S_IFMT` of `<sys/stat.h>`). */
export const FILE_TYPE = {
  mask: 0o170000,
  directory: 0o040000,
  regular: 0o100000,
  blockDevice: 0o060000,
} as const;

/** Commands of `fcntl(2)` (`<fcntl.h>`, Linux): another number for the same open file. */
export const F_DUPFD_CLOEXEC = 1030;
/** Reads the flags of an open file. */
export const F_GETFL = 3;
/** Sets those flags of an open file that can be changed. */
export const F_SETFL = 4;

/** Reads which lock of another open file description keeps one out. */
export const F_OFD_GETLK = 36;
/** Locks or unlocks a range for an open file description, without waiting. */
export const F_OFD_SETLK = 37;

/** `struct flock` (`<bits/fcntl.h>`, 64-bit): what those two take. Offsets count from the start. */
export const FLOCK = {
  type: { type: "i16", offset: 0 },
  start: { type: "i64", offset: 8 },
  length: { type: "i64", offset: 16 },
} as const;
/** Bytes of it. */
export const FLOCK_SIZE_BYTES = 32;
/** The types of locks. */
export const LOCK_TYPES = { shared: 0, exclusive: 1, none: 2 } as const;

/** `struct timespec` (`<bits/types/struct_timespec.h>`, 64-bit). */
export const TIMESPEC = {
  seconds: { type: "i64", offset: 0 },
  nanoseconds: { type: "i64", offset: 8 },
} as const;
/** Bytes of it. */
export const TIMESPEC_SIZE_BYTES = 16;

/** Flags of `eventfd(2)` (`<bits/eventfd.h>`, Linux): reads and writes do not wait. */
export const EFD_NONBLOCK = 0o4000;
/** Closed on exec. */
export const EFD_CLOEXEC = 0o2000000;

/** Operation of `prctl(2)` (`<linux/prctl.h>`): which seccomp mode this thread is in. */
export const PR_GET_SECCOMP = 21;
/** Such a mode: a filter decides. */
export const SECCOMP_MODE_FILTER = 2;

/** Advice of `madvise(2)` (`<bits/mman-linux.h>`): huge pages where there are some. */
export const MADV_HUGEPAGE = 14;

/** Protection of `mmap(2)` (`<bits/mman-linux.h>`): what is mapped is read and written. */
export const PROT_READ_WRITE = 1 | 2;
/** Flags of `mmap(2)`: `MAP_SHARED | MAP_POPULATE`. */
export const MAP_SHARED_POPULATE = 1 | 0x8000;
/** What `mmap(2)` returns where it fails, (void *) -1. */
export const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Flag of `sync_file_range(2)` (`<fcntl.h>`, Linux): begin to write back, and do not wait. */
export const SYNC_FILE_RANGE_WRITE = 2;
/** Modes of `fallocate(2)` (`<linux/falloc.h>`); 0 gives a range its place on the device. */
export const FALLOCATE_MODES = { keepSize: 1, punchHole: 2, zeroRange: 0x10 } as const;
/** Advice of `posix_fadvise(2)` (`<fcntl.h>`, Linux), by the names of `AioFile.advise()`. */
export const FADVISE_ADVICE = {
  normal: 0,
  random: 1,
  sequential: 2,
  willNeed: 3,
  dontNeed: 4,
  noReuse: 5,
} as const;

/**
 * `struct pollfd` (`<poll.h>`) in 32-bit words: the fd, then `events` and `revents` of 16 bits
 * each.
 */
export const POLLFD_WORDS = { fd: 0, events: 1, size: 2 } as const;
/** Something can be read. */
export const POLLIN = 1;

/**
 * Request of `ioctl(2)` that sets close-on-exec (macOS, where `fcntl` takes its argument
 * elsewhere).
 */
export const FIOCLEX_DARWIN = 0x20006601;

/** Flags of `open(2)`, one table a platform; `direct` is 0 where the system has no such flag. */
export interface OpenFlags {
  /** Only reading. */
  readonly readOnly: number;
  /** Only writing. */
  readonly writeOnly: number;
  /** Both. */
  readonly readWrite: number;
  /** Make the file if it is not there. */
  readonly create: number;
  /** With create: fail if it is there. */
  readonly exclusive: number;
  /** Cut to length 0. */
  readonly truncate: number;
  /** A write returns when its data is on the disk. */
  readonly dataSync: number;
  /** The opening does not wait; 0 where it is not used. */
  readonly nonblock: number;
  /** Transfers go past the page cache. */
  readonly direct: number;
  /** Only a directory is opened. */
  readonly directory: number;
  /** The opening is good for little more than naming it; 0 where the system has no such flag. */
  readonly path: number;
  /** Makes a file without a name in a directory; 0 where the system has no such flag. */
  readonly temporary: number;
}

const LINUX_OPEN_FLAGS = {
  readOnly: 0,
  writeOnly: 1,
  readWrite: 2,
  create: 0o100,
  exclusive: 0o200,
  truncate: 0o1000,
  dataSync: 0o10000,
  nonblock: 0o4000,
  path: 0o10000000,
} as const;
/** The part of `temporary` that old kernels do not know; with the other they refuse to write. */
const LINUX_TEMPORARY = 0o20000000;

/** `open(2)` flags by `Deno.build.os` and `Deno.build.arch` (`<bits/fcntl.h>`, `<asm/fcntl.h>`). */
export const OPEN_FLAGS: Readonly<Record<string, OpenFlags>> = {
  "linux-x86_64": {
    ...LINUX_OPEN_FLAGS,
    direct: 0o40000,
    directory: 0o200000,
    temporary: LINUX_TEMPORARY | 0o200000,
  },
  "linux-aarch64": {
    ...LINUX_OPEN_FLAGS,
    direct: 0o200000,
    directory: 0o40000,
    temporary: LINUX_TEMPORARY | 0o40000,
  },
  "darwin-x86_64": darwinOpenFlags(),
  "darwin-aarch64": darwinOpenFlags(),
};

function darwinOpenFlags(): OpenFlags {
  return {
    readOnly: 0,
    writeOnly: 1,
    readWrite: 2,
    create: 0x200,
    exclusive: 0x800,
    truncate: 0x400,
    dataSync: 0x400000,
    nonblock: 0,
    direct: 0,
    directory: 0x100000,
    path: 0,
    temporary: 0,
  };
}

/** `pwritev2(2)`: the write is durable when it returns, as of a file opened with `O_DSYNC`. */
export const RWF_DSYNC = 2;
/** `preadv2(2)`: only what takes no waiting. */
export const RWF_NOWAIT = 8;
/** Both: what it brings into the page cache does not stay there; since Linux 6.14. */
export const RWF_DONTCACHE = 0x80;
