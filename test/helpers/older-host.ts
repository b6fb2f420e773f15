/** Entry of an engine process that knows no newer layouts than an older table does. */
import { loadAddon } from '../../src/engine/addon.js';
import { serveParent } from '../../src/engine/hosting.js';
import { olderTable } from './older-table.js';

serveParent(loadAddon(), olderTable());
