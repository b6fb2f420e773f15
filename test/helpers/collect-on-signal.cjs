// Preloaded into a server whose memory is to be compared: SIGUSR2 collects all garbage, so that what is
// resident is what is held and not what V8 has not looked at yet.
const { Session } = require('node:inspector');
const { isMainThread } = require('node:worker_threads');

if (isMainThread) {
  const session = new Session();
  session.connect();
  process.on('SIGUSR2', () => session.post('HeapProfiler.collectGarbage'));
}
