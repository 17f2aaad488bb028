import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { generatedPages } from '../docs/pages.ts'
import { loadPolicy } from '../src/config/load.ts'
import { runHere } from './support/command-line.ts'

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

/** The code blocks of a language in a section of the README. */
const blocksOf = async (section: string, language: string): Promise<string[]> => {
  const [, rest = ''] = (await readFile('README.md', 'utf8')).split(`\n## ${section}\n`)
  const blocks = (rest.split('\n## ')[0] ?? '').matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))
  return [...blocks].map(([, block = '']) => block)
}

const [shown = ''] = await blocksOf('Check manifests', 'console')
const [, line = '', printed = ''] = /^\$ npx meshvip (.*?)\n(.*)\.\.\.\n$/s.exec(shown) ?? []
t.not(printed, '')
t.match(await runHere(...line.split(' ')), { code: 1, out: printed }, 'the README shows what check prints')

const commands = (await blocksOf('Check manifests', 'sh')).join('').match(/(?<=npx meshvip ).*/g) ?? []
t.equal(commands.length, 5)
for (const command of commands.filter((one) => !/--live| - </.test(one)))
  t.match(await runHere(...command.split(' ')), { code: 0, err: '' }, `${command} is a command`)
