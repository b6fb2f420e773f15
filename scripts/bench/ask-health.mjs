/**
 * Asks a server for /health again and again over one connection, and writes how long each answer took,
 * ms, one a line, when it has them all. A process of its own, so that nothing else delays its clock.
 * Arguments: base URL, how often.
 */
import http from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

const [url, count] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

const ask = () =>
  new Promise((resolve, reject) => {
    const asked = performance.now();
    const request = http.get(`${url}/health`, { agent }, (response) => {
      response.resume().once('end', () => resolve(performance.now() - asked));
    });
    request.once('error', reject);
  });

const times = [];
for (let i = 0; i < Number(count); i++) {
  times.push(await ask());
  await pause(5);
}
agent.destroy();
process.stdout.write(times.map((time) => `${time}\n`).join(''));
