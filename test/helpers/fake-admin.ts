/** A server of the test's own that answers the CLI as the test says, and what was asked of it. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { RunningServer } from '../../cli/admin-client.js';
import type { CommandUser } from './command.js';

/** One request. */
export interface Seen {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

type Handler = (seen: Seen, response: ServerResponse) => void;

/** A server on a free port of this process that answers as `handler` says. */
export async function fakeServer(
  context: TestContext,
  handler: Handler,
): Promise<RunningServer & { readonly seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      const { method, url, headers } = request;
      const one = { method, url, authorization: headers.authorization, body };
      seen.push(one);
      handler(one, response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  // address() of a listening TCP server is an AddressInfo.
  const { port } = server.address() as AddressInfo;
  return { pid: process.pid, host: '127.0.0.1', port, token: 'a1b2', seen };
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const part of request.setEncoding('utf8')) text += part;
  return text === '' ? null : JSON.parse(text);
}

/** Answers with JSON. */
export function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/** The body of an error answer. */
export const error = (code: string, message = `${code} ja / ${code} en`) => ({
  error: { message, type: 'server_error', param: null, code },
});

/** Leaves run.json as that server would. */
export function writeRunFile(user: CommandUser, { pid, host, port, token }: RunningServer): void {
  user.writeFile(user.runFile, JSON.stringify({ pid, host, port, token, version: '0.0.0' }));
}
