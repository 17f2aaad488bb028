import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

/** Coverage does not know of a file that nobody imports: this test imports them all, but for the one that runs the program. */
const files = (await readdir('src', { recursive: true })).filter((name) => name.endsWith('.ts') && name !== 'main.ts')

for (const file of files.sort()) {
  await t.resolves(import(join(import.meta.dirname, '../src', file)), `src/${file} can be imported by itself`)
}
