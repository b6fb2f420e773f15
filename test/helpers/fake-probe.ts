/** Entry of a probe that behaves as the library's path says: `…crash`, `…silent`, `…refuse`, or well. */
process.on('disconnect', () => process.exit(1));
process.once('message', (message: { readonly path: string }) => {
  const { path } = message;
  if (path.endsWith('crash')) {
    process.stderr.write('illegal instruction ahead\n', () => process.kill(process.pid, 'SIGILL'));
    return;
  }
  if (path.endsWith('silent')) {
    setInterval(() => {}, 1000);
    return;
  }
  const reason = 'context struct 168 bytes';
  const verdict = path.endsWith('refuse')
    ? { identity: null, error: { code: 'library_incompatible', details: { reason }, reason } }
    : { identity: { path, devices: [] }, error: null };
  process.send?.(verdict, undefined, {}, () => process.exit(0));
});
