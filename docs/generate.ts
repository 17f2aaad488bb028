/** Writes the generated pages: `npm run docs`. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { generatedPages } from './pages.ts'

for (const [file, text] of await generatedPages()) {
  const path = join(import.meta.dirname, '..', file)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
}
