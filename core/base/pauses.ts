/**
 * pauses.ts: how soon a thread that waits looks again by itself, and after how long it checks that
 * the other threads are alive.
 *
 * Whatever a thread waits for wakes it: a bell, a notify, a descriptor. But a thread that dies
 * half-way wakes no other, and some changes wake no thread either. So every sleep has an end. Those
 * that mean the same everywhere are here; a pause that only one file has a reason for is there.
 *
 * @module
 */

/**
 * To the next look, where another thread may have done what is waited for without a word. It is the
 * least that `poll(2)` and timers take, a thousand looks a second are well below 1 % of a
 * processor, and a wait that is 1 ms longer is rarely noticed.
 */
export const LOOK_AGAIN_MS = 1;

/**
 * To the check whether the other threads are alive, which is a system call for each of them. A
 * thread that is busy is seldom silent for so long, so the check is rare; and IO of a thread that
 * has died is done again so soon that a user may take it for a slow disk.
 */
export const CHECK_ALIVE_MS = 100;
/**
 * The same where the kernel completes all that is awaited and no other thread is attached: none can
 * die half-way, and one that attaches meanwhile is known from the next look on.
 */
export const ALONE_MS = 1000;
/** {@linkcode CHECK_ALIVE_MS} for whoever counts looks and does not read a clock. */
export const LOOKS_UNTIL_CHECK = CHECK_ALIVE_MS / LOOK_AGAIN_MS;

/**
 * To the next check of a thread that is known to be dead, and still has IO that the kernel, or
 * another thread, is about to let go of. That takes them about a millisecond.
 */
export const CHECK_DEAD_AGAIN_MS = 2;

/** To the next look at IO that was given up: it still holds its memory. */
export const FORSAKEN_LOOK_MS = 20;
