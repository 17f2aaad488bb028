/** Writes docs/why.md: `npm run docs:why`. It builds what it runs, which takes some minutes the first time. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { istioVersion } from '../test/istio/istioctl.ts'
import { findOrBuildTools, makeMistakes } from '../test/istio/mistakes.ts'
import { whyPage } from './why.ts'

const tools = await findOrBuildTools((line) => process.stderr.write(`${line}\n`))
if ('missing' in tools) {
  process.stderr.write(`docs:why: ${tools.missing}\n`)
  process.exit(2)
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
await writeFile(join(import.meta.dirname, 'why.md'), whyPage(await makeMistakes(tools), await istioVersion()))
