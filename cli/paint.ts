/**
 * Colours on a terminal. Runs in the CLI process. There are none where the stream is no terminal, or where
 * NO_COLOR, FORCE_COLOR or TERM say so.
 */
import picocolors from 'picocolors';

/** Functions that colour a text, or leave it as it is. */
export type Paint = ReturnType<typeof picocolors.createColors>;

/** The colours that a stream can show. */
export function paintOf(stream: { readonly isTTY?: boolean }): Paint {
  return picocolors.createColors(stream.isTTY === true && picocolors.isColorSupported);
}
