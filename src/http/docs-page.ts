/**
 * GET /docs: one page that shows the document of the API, of our own and without anything from elsewhere.
 * Runs in the server; the page is constant text. It must never hold a word that a request or a setting
 * brought: what it shows it fetches, and its policy lets no other script or style in.
 */
import { createHash } from 'node:crypto';
import { DOCS_SCRIPT } from './docs-script.js';

const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --panel: #ffffff; --ink: #1d2129; --soft: #5b6472; --line: #dfe1e6;
  --link: #1f4fa3; --get: #1c6b47; --post: #7a4b00; --delete: #a12a2a; --mark: #eef1f7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12151c; --panel: #191d26; --ink: #e6e8ee; --soft: #9aa4b5; --line: #2c323e;
    --link: #9dbdff; --get: #7fd3a8; --post: #f0c074; --delete: #ff9d9d; --mark: #222835;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.7 system-ui, "Hiragino Sans", "Noto Sans JP", "Yu Gothic UI", sans-serif;
}
code, pre { font: 0.875em/1.6 ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; }
a { color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 1rem; top: 1rem; background: var(--panel); padding: 0.5rem 1rem; z-index: 1; }
.en { color: var(--soft); font-size: 0.875em; }
header, .page { max-width: 84rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; }
h1 { margin: 0; font-size: 1.75rem; letter-spacing: 0.02em; }
h1 #version { color: var(--soft); font-size: 1rem; font-weight: 400; }
#about { max-width: 60rem; margin: 0.5rem 0; }
#about .en { display: block; }
.page { display: grid; grid-template-columns: 17rem minmax(0, 1fr); gap: 2.5rem; align-items: start; }
nav { position: sticky; top: 0; max-height: 100vh; overflow-y: auto; padding: 1.5rem 0; font-size: 0.875rem; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li { margin: 0 0 0.125rem; }
nav > ul > li { margin-bottom: 1rem; }
nav a { display: grid; grid-template-columns: 3.5rem minmax(0, 1fr); align-items: baseline; padding: 0.125rem 0.25rem; color: var(--ink); text-decoration: none; overflow-wrap: anywhere; border-radius: 4px; }
nav a:hover { background: var(--mark); }
.tag { font-weight: 600; }
h2 { margin: 2rem 0 0.75rem; font-size: 1.25rem; }
main > h2:first-child { margin-top: 1.5rem; }
.route { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 1rem 1.25rem; margin-bottom: 1rem; }
.route:target { border-color: var(--link); }
h3 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
h3 code { font-size: 1rem; }
.route > .words { margin: 0.25rem 0 0.75rem; }
.method { display: inline-block; min-width: 3.75em; font: 600 0.75em/1.6 ui-monospace, Menlo, Consolas, monospace; }
.GET { color: var(--get); } .POST { color: var(--post); } .DELETE { color: var(--delete); }
pre { margin: 0 0 0.75rem; padding: 0.75rem 1rem; background: var(--mark); border-radius: 6px; overflow-x: auto; }
details { border-top: 1px solid var(--line); }
summary { padding: 0.5rem 0; cursor: pointer; }
table { width: 100%; border-collapse: collapse; margin-bottom: 0.75rem; font-size: 0.9375rem; }
th, td { text-align: left; vertical-align: top; padding: 0.5rem 0.75rem 0.5rem 0; border-top: 1px solid var(--line); font-weight: 400; }
thead th { border-top: 0; color: var(--soft); font-size: 0.8125rem; white-space: nowrap; }
tbody th { width: 13rem; overflow-wrap: anywhere; }
tbody th code { font-weight: 600; }
.type { width: 14rem; overflow-wrap: anywhere; }
.absent { width: 8rem; overflow-wrap: anywhere; }
td.words { min-width: 16rem; }
.range, .setting, .must { color: var(--soft); font-size: 0.8125rem; }
.setting { display: block; }
.must { color: var(--delete); white-space: nowrap; }
.must .en { color: inherit; }
td.words .en { display: block; }
.same { margin: 0 0 0.75rem; }
.answer { margin: 0 0 0.75rem; padding: 0; list-style: none; columns: 2 18rem; column-gap: 2rem; }
.answer li { break-inside: avoid; overflow-wrap: anywhere; }
.failure { color: var(--delete); }
@media (max-width: 56rem) {
  .page { display: block; }
  nav { position: static; max-height: none; padding-bottom: 0; }
  thead { position: absolute; left: -999px; }
  table, tbody, tr, tbody th, td { display: block; width: auto; }
  tr { border-top: 1px solid var(--line); padding: 0.5rem 0; }
  tbody th, td { border: 0; padding: 0.125rem 0; }
  td:empty { display: none; }
}
@media (max-width: 30rem) {
  header, .page { padding: 0 0.75rem; }
  .route { padding: 0.75rem; }
}
`;

const PAGE = `<!doctype html>
<html lang="ja">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>星影 Hoshikage API</title>
<style>${STYLE}</style>
</head>
<body>
<a class="skip" href="#routes">本文へ</a>
<header>
<h1>星影 Hoshikage API <span id="version"></span></h1>
<p id="about"></p>
<p><a href="openapi.json">openapi.json</a> <span class="en" lang="en">(OpenAPI 3.1)</span></p>
<noscript><p>このページは JavaScript を使います。文書そのものは <a href="openapi.json">openapi.json</a> にあります。
<span class="en" lang="en">This page needs JavaScript; the document itself is openapi.json.</span></p></noscript>
</header>
<div class="page">
<nav aria-label="ルート"><ul id="list"></ul></nav>
<main id="routes" tabindex="-1"></main>
</div>
<script>${DOCS_SCRIPT}</script>
</body>
</html>
`;

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

const POLICY = [
  "default-src 'none'",
  `script-src ${hashOf(DOCS_SCRIPT)}`,
  `style-src ${hashOf(STYLE)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  // A text never becomes markup, whatever the script should come to do.
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** The page. */
export function docsPage(): Response {
  return new Response(PAGE, {
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'content-security-policy': POLICY,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    },
  });
}
