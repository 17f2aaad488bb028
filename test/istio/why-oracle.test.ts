import { readFile } from 'node:fs/promises'
import t from 'tap'
import { whyPage } from '../../docs/why.ts'
import { istioVersion } from './istioctl.ts'
import { findOrBuildTools, makeMistakes } from './mistakes.ts'

const story = 'docs/why.md is what npm run docs:why makes of this version of Kubernetes and of Istio'
// The runner looks for the oracle alone, and tap's reporter shows no comments.
const print = (line: string) => process.stderr.write(`${line}\n`)

const tools = await findOrBuildTools(print)
if ('missing' in tools) {
  print(`\n!!! SKIPPED: ${story}. ${tools.missing}\n`)
  await t.test(story, { skip: tools.missing }, async () => {})
} else {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  await t.test(story, async (t) => {
    t.equal(await readFile('docs/why.md', 'utf8'), whyPage(await makeMistakes(tools), await istioVersion()))
  })
}
