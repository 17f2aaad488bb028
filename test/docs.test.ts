import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { generatedPages } from '../docs/pages.ts'

const pages = await generatedPages()

for (const [file, text] of pages) {
  t.equal(await readFile(file, 'utf8').catch(() => ''), text, `${file} is what npm run docs makes`)
}

t.strictSame(
  (await readdir('docs/rules')).map((name) => join('docs/rules', name)).sort(),
  [...pages.keys()].filter((file) => file.startsWith('docs/rules/')).sort(),
  'there is no page of a rule that is gone',
)
