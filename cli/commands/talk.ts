/**
 * `hoshikage chat` and `hoshikage run`: what their arguments are. Runs in the CLI process; each command is
 * in a file of its own that is loaded when it runs.
 */
import { type Command, literal } from '../shell.js';
import { wishesOf, withRequestFlags } from '../talk/request-flags.js';

/** Registers both commands. */
export const talkCommand: Command = (parser, shell) => {
  const { say } = shell;
  return parser
    .command(
      'chat [alias]',
      say({ ja: '端末でモデルと話す', en: 'Talk with a model at the terminal' }),
      (chat) =>
        withRequestFlags(
          chat.positional('alias', {
            type: 'string',
            describe: say({
              ja: 'モデルの名前(なければ、メモリにあるものか最初のもの)',
              en: 'Name of the model (by default the one in memory, or the first)',
            }),
          }),
          shell,
        ),
      (given) =>
        shell.run(async () => {
          const model = given.alias === undefined ? null : literal(given.alias);
          const wishes = wishesOf(given);
          return (await import('./chat.js')).chat({ model, wishes }, shell);
        }),
    )
    .command(
      'run <alias> [prompt..]',
      say({ ja: '一度だけ尋ねて、答えを書き出す', en: 'Ask once and write the answer' }),
      (run) =>
        withRequestFlags(
          run
            .positional('alias', {
              type: 'string',
              demandOption: true,
              describe: say({ ja: 'モデルの名前', en: 'Name of the model' }),
            })
            .positional('prompt', {
              type: 'string',
              array: true,
              describe: say({
                ja: '尋ねること(標準入力があれば、その後ろに付ける)',
                en: 'What to ask (behind what comes by standard input)',
              }),
            })
            .option('json', {
              type: 'boolean',
              describe: say({
                ja: '答え、トークンの数、時間を 1 つの JSON で出す',
                en: 'Print answer, token counts and times as one JSON object',
              }),
            }),
          shell,
        ),
      (given) =>
        shell.run(async () => {
          const model = literal(given.alias);
          const prompt = (given.prompt ?? []).map(literal);
          const { json = false } = given;
          const wanted = { model, prompt, json, wishes: wishesOf(given) };
          return (await import('./run.js')).run(wanted, shell);
        }),
    );
};
