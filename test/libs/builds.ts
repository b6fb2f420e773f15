/**
 * The real builds that the matrix tries: what they are called, and what each must be identified as.
 * Data only. The numbers are llama.cpp's own history, not what a library said of itself.
 */

/** One npm version of a plain Linux build. */
export interface Build {
  /** Version of the package. */
  readonly version: string;
  /** llama.cpp's name for it. */
  readonly name: string;
  /** Its build number; a release stands as it does in native/abi/llama.json. */
  readonly number: number;
  readonly layout: { readonly model: string; readonly context: string };
  /** Arguments of the penalties and DRY samplers. */
  readonly samplers: { readonly penalties: 4 | 5; readonly dry: 7 | 8 };
}

/** Rows of version, name, number, layouts. */
const ROWS: readonly (readonly [string, string, number, string, string])[] = [
  ['3.13.0', 'b6431', 6431, 'M4', 'C6'],
  ['3.14.0', 'b6673', 6673, 'M4', 'C6'],
  ['3.14.5', 'b7347', 7347, 'M5', 'C6'],
  ['3.15.1', 'b7836', 7836, 'M7', 'C7'],
  ['3.16.2', 'b8121', 8121, 'M7', 'C7'],
  ['3.17.1', 'b8179', 8179, 'M7', 'C7'],
  ['3.18.1', 'b8390', 8390, 'M7', 'C7'],
  ['3.19.0', 'b9842', 9842, 'M7', 'C10'],
  ['3.19.1', 'b10068', 10_068, 'M7', 'C10'],
  ['3.20.0', 'b10361', 10_361, 'M9', 'C11'],
  ['3.21.1', 'v0.4.0', 10_999, 'M10', 'C11'],
  ['3.22.1', 'v0.5.0', 11_000, 'M10', 'C11'],
];

/** The penalties got a fifth argument with b10258, DRY lost its eighth with b10273. */
const PENALTIES_OF_FIVE = 10_258;
const DRY_OF_SEVEN = 10_273;

/** Builds that must work, the oldest first. */
export const BUILDS: readonly Build[] = ROWS.map(([version, name, number, model, context]) => ({
  version,
  name,
  number,
  layout: { model, context },
  samplers: {
    penalties: number >= PENALTIES_OF_FIVE ? 5 : 4,
    dry: number >= DRY_OF_SEVEN ? 7 : 8,
  },
}));

/** Builds from before the floor, which must be refused by name. */
export const TOO_OLD: readonly Pick<Build, 'version' | 'name'>[] = [
  { version: '3.12.4', name: 'b6301' },
  { version: '3.9.0', name: 'b5590' },
  { version: '3.1.1', name: 'b3889' },
];

/** The package that all of them are versions of. */
export const PACKAGE = '@node-llama-cpp/linux-x64';
