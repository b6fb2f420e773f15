/**
 * Says a question as people do: with a greeting before it, another ending, another spelling, a slip
 * of the finger. Pure but for the random source it is given. It must never change what is asked.
 */
import type { Language } from './dialogues.js';

/** Random choices, all from one seed. */
export interface Chance {
  /** A whole number from 0 to below `count`. */
  below(count: number): number;
  /** True in this share of the calls. */
  in(share: number): boolean;
}

/** Chance from a function that gives 32 random bits. */
export function chanceOf(bits: () => number): Chance {
  const below = (count: number): number => Math.floor((bits() / 2 ** 32) * count);
  return { below, in: (share) => bits() / 2 ** 32 < share };
}

const PREFIXES: Record<Language, readonly string[]> = {
  ja: [
    ...[
      'すみません、',
      'すみません。',
      'あの、',
      'えっと、',
      'ちょっと聞きたいのですが、',
      '質問です。',
    ],
    ...[
      '教えてください。',
      'こんにちは。',
      'こんにちは、',
      'ところで、',
      'では、',
      'じゃあ、',
      '初心者です。',
    ],
    ...['お願いします。', 'それと、', 'ちなみに', 'はじめまして。', 'すいません、', 'もう一つ。'],
  ],
  en: [
    ...[
      'Hi, ',
      'Hello, ',
      'Hey, ',
      'Excuse me, ',
      'Sorry, ',
      'Please, ',
      'Quick question: ',
      'So, ',
    ],
    ...[
      'OK, ',
      'And ',
      'Now, ',
      'By the way, ',
      "I'm new here. ",
      'Hello! ',
      'Hi there, ',
      'Well, ',
    ],
    ...['Can you tell me: ', 'I was wondering: ', 'One more thing: ', 'Question: '],
  ],
};

const SUFFIXES: Record<Language, readonly string[]> = {
  ja: [
    '、お願いします',
    '、教えてください',
    '、教えて',
    'のでしょうか',
    '、知りたいです',
    '、困っています',
  ],
  en: [', please', ' please', ', thanks', '? Thanks', ' exactly', ' in Hoshikage', ' here', ' now'],
};

/** Words that may stand anywhere, or before the rest, and say nothing. */
const NEUTRAL: Record<Language, readonly string[]> = {
  ja: [
    '実は',
    'やっぱり',
    '今日',
    'ちょっと',
    'できれば',
    '簡単に',
    '結局',
    '急に',
    'うちで',
    '普通に',
    '自分で',
  ],
  en: [
    'really',
    'actually',
    'just',
    'somehow',
    'maybe',
    'at home',
    'exactly',
    'simply',
    'today',
    'again',
  ],
};

const ENDINGS: Record<Language, readonly string[]> = {
  ja: ['', '', '？', '？', '?', '。', '？？', '！'],
  en: ['', '?', '?', '.', '!', '??'],
};

const SPELLINGS: Record<Language, readonly (readonly [RegExp, string])[]> = {
  ja: [
    [/ください/, '下さい'],
    [/教えて/, 'おしえて'],
    [/どうすれば/, 'どうやったら'],
    [/何/, 'なに'],
    [/できます/, '出来ます'],
    [/サーバー/, 'サーバ'],
    [/メモリ(?!ー)/, 'メモリー'],
    [/フォルダー/, 'フォルダ'],
    [/星影/, 'Hoshikage'],
    [/星影/, 'hoshikage'],
    [/星影/, 'ほしかげ'],
    [/ですか$/, 'でしょうか'],
    [/ですか$/, 'なの'],
    [/ますか$/, 'ますでしょうか'],
    [/えますか$/, 'えるの'],
    [/できますか$/, 'できる'],
    [/たい$/, 'たいのですが'],
    [/パソコン/, 'PC'],
    [/パソコン/, 'マシン'],
    [/使う/, '利用する'],
    [/使い/, '利用し'],
    [/使え/, '利用でき'],
    [/方法/, 'やり方'],
    [/方法/, '仕方'],
    [/見る/, '確認する'],
    [/見たい/, '確かめたい'],
    [/今/, '現在'],
    [/答え/, '返事'],
    [/答え/, '回答'],
    [/返事/, '返答'],
    [/一覧/, 'リスト'],
    [/ダウンロード/, '取得'],
    [/断られ/, '拒否され'],
    [/と出ました/, 'と怒られました'],
    [/と出ます/, 'って出る'],
    [/に失敗/, 'が失敗'],
  ],
  en: [
    [/\bHoshikage\b/, 'hoshikage'],
    [/\bHoshikage\b/, 'the server'],
    [/^What is\b/, "What's"],
    [/\bdo not\b/, "don't"],
    [/\bdoes not\b/, "doesn't"],
    [/\bcannot\b/, "can't"],
    [/\bHow do I\b/, 'How can one'],
    [/\bHow do I\b/, 'how would I'],
    [/\bHow do I\b/, 'In what way do I'],
    [/\bI want to\b/, "I'd like to"],
    [/\bI want to\b/, 'I am trying to'],
    [/\bCan I\b/, 'Is it possible to'],
    [/\bCan I\b/, 'Could I'],
    [/\bIs there\b/, 'Does it have'],
    [/\bTell me\b/, 'Could you tell me'],
    [/\bWhich\b/, 'What'],
    [/\bsee\b/, 'look at'],
    [/\bshow\b/, 'display'],
    [/\bmemory\b/, 'RAM'],
    [/\bcomputer\b/, 'PC'],
    [/\bcomputer\b/, 'laptop'],
    [/\bmachine\b/, 'computer'],
    [/\bthe model\b/, 'my model'],
    [/\bmodel\b/, 'LLM'],
    [/\bsettings?\b/, 'option'],
    [/\bgraphics card\b/, 'video card'],
    [/\banswer\b/, 'reply'],
    [/\bchange\b/, 'modify'],
    [/\bfix\b/, 'solve'],
    [/\bI get\b/, 'I am getting'],
    [/\bIt says\b/, 'It tells me'],
    [/\bis refused\b/, 'is rejected'],
    [/\bcommand\b/, 'instruction'],
  ],
};

/** Little words that a hasty writer leaves out. */
const LITTLE: Record<Language, RegExp> = {
  ja: /[はをのがにでも、]/gu,
  en: /\b(?:the|a|an|do|is|to|of|it|I|my|please|can) /g,
};

/** The question as somebody might type it. */
export function augment(question: string, language: Language, chance: Chance): string {
  let text = question;
  for (const [from, to] of SPELLINGS[language]) if (chance.in(0.15)) text = text.replace(from, to);
  const isLong = text.length >= (language === 'ja' ? 7 : 14);
  if (isLong && chance.in(0.1)) text = without(text, LITTLE[language], chance);
  if (isLong && chance.in(0.08)) text = withNeutral(text, language, chance);
  if (isLong && chance.in(0.06)) text += pick(SUFFIXES[language], chance);
  if (isLong && chance.in(0.12)) text = slip(text, chance);
  if (isLong && chance.in(0.12)) text = pick(PREFIXES[language], chance) + text;
  if (!/[?？!！。.]$/.test(text)) text += pick(ENDINGS[language], chance);
  return language === 'ja' ? widths(text, chance) : letters(text, chance);
}

function pick(texts: readonly string[], chance: Chance): string {
  return texts[chance.below(texts.length)] ?? '';
}

function withNeutral(text: string, language: Language, chance: Chance): string {
  const word = pick(NEUTRAL[language], chance);
  if (language === 'ja') return word + text;
  const words = text.split(' ');
  words.splice(1 + chance.below(words.length), 0, word);
  return words.join(' ');
}

/** Without one of the matches. */
function without(text: string, what: RegExp, chance: Chance): string {
  const matches = [...text.matchAll(what)];
  const match = matches[chance.below(matches.length)];
  if (match === undefined) return text;
  return text.slice(0, match.index) + text.slice(match.index + match[0].length);
}

/** One character left out, doubled, or put before its neighbour. */
function slip(text: string, chance: Chance): string {
  const characters = [...text];
  const at = chance.below(characters.length - 1);
  const [here = '', next = ''] = characters.slice(at, at + 2);
  const instead = [[next], [here, here, next], [next, here]][chance.below(3)] ?? [];
  characters.splice(at, 2, ...instead);
  return characters.join('');
}

/** Blanks beside Latin letters come and go, and question marks are wide. */
function widths(text: string, chance: Chance): string {
  let wide = text;
  if (chance.in(0.3)) wide = wide.replace(/(?<=[^\x20-\x7e]) | (?=[^\x20-\x7e])/g, '');
  else if (chance.in(0.15)) {
    wide = wide.replace(
      /(?<=[^\x20-\x7e])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[^\x20-\x7e?!])/g,
      ' ',
    );
  }
  if (chance.in(0.5)) wide = wide.replace(/\?/g, '？').replace(/!/g, '！');
  if (chance.in(0.03)) {
    wide = wide.replace(/[!-~]/g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0));
  }
  return wide;
}

function letters(text: string, chance: Chance): string {
  if (chance.in(0.3)) return text.toLowerCase();
  if (chance.in(0.03)) return text.toUpperCase();
  if (chance.in(0.1)) return text.charAt(0).toLowerCase() + text.slice(1);
  return text.charAt(0).toUpperCase() + text.slice(1);
}
