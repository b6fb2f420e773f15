/**
 * A grammar as the numbers that native code runs (native/src/decode/grammar): one Int32Array, no
 * pointers, every place checked again there. Pure, any thread.
 *
 * Layout, in 32-bit integers:
 *   [0] VERSION  [1] number of rules R  [2 … 2+R) place of each rule; rule 0 is where it begins
 *   a rule: [number of alternatives A] [place of each alternative × A]
 *   an alternative: instructions, one after the other, the last one END
 *     END                       0
 *     CHAR      c               1   this code point (written out in the grammar: also by a control token)
 *     CLASS     n (lo hi)×n     2   one code point of these ranges
 *     RULE      r               3
 *     REPEAT    r min max       4   rule r, min to max times; max -1 = without end
 *     UNTIL     n (len c×len)×n 5   any text up to and with the first of n texts
 *     FREE      n (len c×len)×n 6   any text without any of n texts; it may end anywhere
 */

/** First number of every program; another layout gets another one. */
export const PROGRAM_VERSION = 1;

/** The instructions' numbers. */
export const OP = { END: 0, CHAR: 1, CLASS: 2, RULE: 3, REPEAT: 4, UNTIL: 5, FREE: 6 } as const;

/** The most numbers a program may have; native code refuses a longer one. */
export const MAX_PROGRAM_LENGTH = 1 << 20;
/** The most rules; native code refuses more. */
export const MAX_RULES = 1 << 16;
