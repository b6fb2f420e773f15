// Preloaded into a process that must behave as if the optional dependency fs-ext were not installed.
const Module = require('node:module');

const load = Module._load;
Module._load = function (request, ...rest) {
  if (request === 'fs-ext')
    throw Object.assign(new Error('not installed'), { code: 'MODULE_NOT_FOUND' });
  return load.call(this, request, ...rest);
};
