import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { generatedPages } from '../docs/pages.ts'
import { loadPolicy } from '../src/config/load.ts'

const pages = await generatedPages()

for (const [file, text] of pages) {
  t.equal(await readFile(file, 'utf8').catch(() => ''), text, `${file} is what npm run docs makes`)
}

t.strictSame(
  (await readdir('docs/rules')).map((name) => join('docs/rules', name)).sort(),
  [...pages.keys()].filter((file) => file.startsWith('docs/rules/')).sort(),
  'there is no page of a rule that is gone',
)

const example = /```yaml\n([\s\S]*?)```/.exec(pages.get('docs/configuration.md') ?? '')?.[1] ?? ''
t.match(
  loadPolicy(example, 'docs/configuration.md'),
  { pools: [{ cidr: '240.240.0.0/16' }] },
  'the example is a configuration',
)
