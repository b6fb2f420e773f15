/** Entry of an engine process that knows no newer layouts than an older table does. */
import { loadAddon } from '../../src/engine/addon.js';
import { hostBehaviour } from '../../src/engine/host-arguments.js';
import { serveParent } from '../../src/engine/hosting.js';
import { olderTable } from './older-table.js';

serveParent(loadAddon(), olderTable(), hostBehaviour(process.argv.slice(2)));
